#!/usr/bin/env bash
# The public interface names types of std, of crossbeam-channel and of ourselves, and
# of nobody else: a major version of any other dependency must not be one of ours.
set -euo pipefail
cd "$(dirname "$0")/.."

# rustdoc's JSON is the compiler's own list of what is public. It is not stable yet, hence
# the variable; the reader below says so when its form has changed.
RUSTC_BOOTSTRAP=1 cargo rustdoc --locked --lib --quiet -- -Z unstable-options --output-format json

python3 - "${CARGO_TARGET_DIR:-target}/doc/pushpull.json" <<'PYTHON'
import json
import sys

ALLOWED = {"pushpull", "std", "core", "alloc", "crossbeam_channel"}

doc = json.load(open(sys.argv[1]))
index, paths = doc["index"], doc["paths"]
crate_of = {0: "pushpull"}
crate_of |= {int(n): c["name"] for n, c in doc["external_crates"].items()}


def named(node):
    """Every (id, path) of a type, trait or re-export in a piece of the tree."""
    if isinstance(node, list):
        for part in node:
            yield from named(part)
    elif isinstance(node, dict):
        if "path" in node and "id" in node:
            yield node["id"], node["path"]
        if "source" in node and "is_glob" in node:
            yield node["id"], node["source"]
        for part in node.values():
            yield from named(part)


seen, wrong = set(), set()
for item in index.values():
    if item["crate_id"] != 0:
        continue
    kind = item["inner"]
    implementation = kind.get("impl", {})
    # What the compiler implements by itself, and what others implement for all types.
    if implementation.get("is_synthetic") or implementation.get("blanket_impl"):
        continue
    for id, path in named(kind):
        if str(id) in paths:
            crate = crate_of[paths[str(id)]["crate_id"]]
        elif id is not None and str(id) in index:
            crate = crate_of[index[str(id)]["crate_id"]]
        else:
            crate = path.split("::")[0]  # a re-export of a whole crate
        seen.add(crate)
        if crate not in ALLOWED:
            wrong.add(f"{item['name'] or 'an implementation'}: {crate}'s {path}")

if not {"crossbeam_channel", "pushpull"} <= seen or len(index) < 100:
    sys.exit("this check sees too little: has the form of rustdoc's JSON changed?")
for line in sorted(wrong):
    print(line, file=sys.stderr)
if wrong:
    sys.exit("foreign types in the public interface")
print(f"{len(index)} items; crates named: {', '.join(sorted(seen))}")
PYTHON
