use crate::pair::Test;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// What the runner was asked for.
pub struct Options {
    pub implementations: Vec<Implementation>,
    pub transports: Vec<String>,
    pub tests: Vec<Test>,
    pub rounds: usize,
    /// How many times the usual number of messages.
    pub scale: f64,
    /// How often a run is repeated during which others kept the machine busy.
    pub retries: usize,
    pub raw: Option<PathBuf>,
    /// Where `performance.md` is, to be brought up to date.
    pub docs: Option<PathBuf>,
    /// What the scale bench printed, for the same page.
    pub scale_text: Option<PathBuf>,
}

/// One row of the tables: how it is called there, who plays it, and as what.
#[derive(Clone)]
pub struct Implementation {
    pub label: String,
    pub program: PathBuf,
    pub name: String,
}

pub const ALL: [&str; 7] = [
    "bare",
    "naive",
    "rzmq",
    "zmq.rs",
    "socket",
    "ours",
    "ours-batch",
];

pub const HELP: &str = "\
--only A,B         bare, naive, rzmq, zmq.rs, socket, ours, ours-batch; all unless given
--sizes N,N,rtt    bytes, or rtt for round trips; 64,1024,16384,1048576,rtt
--transports T,T   ipc, tcp; both
--rounds N         5
--scale X          times the usual number of messages (1: about a second a run)
--quick            as --rounds 3 --scale 0.3
--retries N        how often to repeat a run that others disturbed; 2
--also NAME=PATH   another build of our `peer` program, as NAME and NAME-batch
--ours PATH        our `peer` program, instead of building it
--raw FILE         every single result, tab separated
--docs FOLDER      put the tables into performance.md there, and the plot beside it
--scale-text FILE  what the scale bench printed, for the same page";

impl Options {
    pub fn from_args() -> Result<Option<Self>, String> {
        let mut only = ALL.map(String::from).to_vec();
        let mut sizes = ["64", "1024", "16384", "1048576", "rtt"]
            .map(String::from)
            .to_vec();
        let mut transports = ["ipc", "tcp"].map(String::from).to_vec();
        let (mut rounds, mut scale, mut retries) = (5, 1.0, 2);
        let (mut ours, mut raw, mut docs, mut scale_text) = (None, None, None, None);
        let mut also = Vec::new();

        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            if arg == "--help" {
                println!("{HELP}");
                return Ok(None);
            }
            if arg == "--quick" {
                (rounds, scale) = (3, 0.3);
                continue;
            }
            let value = args
                .next()
                .ok_or_else(|| format!("{arg}: nothing follows"))?;
            let list = || value.split(',').map(String::from).collect();
            let wrong = |e: &dyn std::fmt::Display| format!("{arg} {value}: {e}");
            match arg.as_str() {
                "--only" => only = list(),
                "--sizes" => sizes = list(),
                "--transports" => transports = list(),
                "--rounds" => rounds = value.parse().map_err(|e| wrong(&e))?,
                "--scale" => scale = value.parse().map_err(|e| wrong(&e))?,
                "--retries" => retries = value.parse().map_err(|e| wrong(&e))?,
                "--ours" => ours = Some(PathBuf::from(&value)),
                "--docs" => docs = Some(PathBuf::from(&value)),
                "--scale-text" => scale_text = Some(PathBuf::from(&value)),
                "--raw" => raw = Some(PathBuf::from(&value)),
                "--also" => {
                    let (name, path) = value.split_once('=').ok_or_else(|| wrong(&"NAME=PATH"))?;
                    also.push((name.to_owned(), PathBuf::from(path)));
                }
                _ => return Err(format!("{arg}: no such option")),
            }
        }

        let me = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut implementations = Vec::new();
        for name in &only {
            if !ALL.contains(&name.as_str()) {
                return Err(format!("{name}: no such implementation"));
            }
            if !name.starts_with("ours") {
                implementations.push(Implementation {
                    label: name.clone(),
                    program: me.clone(),
                    name: name.clone(),
                });
                continue;
            }
            let program = match &ours {
                Some(path) => path.clone(),
                None => ours.insert(build_ours()?).clone(),
            };
            implementations.push(Implementation {
                label: name.clone(),
                program,
                name: name.clone(),
            });
            for (other, path) in &also {
                implementations.push(Implementation {
                    label: name.replace("ours", other),
                    program: path.clone(),
                    name: name.clone(),
                });
            }
        }
        let tests = sizes
            .iter()
            .map(|size| match size.as_str() {
                "rtt" => Ok(Test::RoundTrip),
                size => match size.parse() {
                    Ok(size @ 8..) => Ok(Test::Size(size)),
                    _ => Err(format!("{size}: not a size of 8 or more")),
                },
            })
            .collect::<Result<_, _>>()?;
        Ok(Some(Self {
            implementations,
            transports,
            tests,
            rounds,
            scale,
            retries,
            raw,
            docs,
            scale_text,
        }))
    }
}

/// Builds our side in the main workspace and finds out where it is.
fn build_ours() -> Result<PathBuf, String> {
    let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = Command::new("cargo")
        .args([
            "bench",
            "--no-run",
            "--bench",
            "peer",
            "--message-format=json-render-diagnostics",
        ])
        .current_dir(main)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|e| format!("cargo: {e}"))?;
    if !built.status.success() {
        return Err("our side does not build".to_owned());
    }
    String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter(|line| line.contains("\"name\":\"peer\""))
        .find_map(|line| {
            let (_, rest) = line.split_once("\"executable\":\"")?;
            Some(PathBuf::from(rest.split_once('"')?.0))
        })
        .ok_or_else(|| "cargo does not say where our side is".to_owned())
}
