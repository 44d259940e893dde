//! What this program is made of, and what a shell and man(1) want to know of it.

use std::{
    env, fs,
    io::{self, Write},
    path::Path,
};

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use crate::{
    args::{Args, InfoArgs, ManArgs},
    end::{End, Result},
};

pub fn run(args: &InfoArgs) -> Result {
    let version = env!("CARGO_PKG_VERSION");
    let platform = format!("{}-{}", env::consts::ARCH, env::consts::OS);
    let zmq = pushpull::libzmq();
    let (major, minor, patch) = zmq.version;
    let zmq_version = format!("{major}.{minor}.{patch}");
    if args.json {
        let info = json!({
            "version": version,
            "platform": platform,
            "libzmq": {
                "version": zmq_version,
                "ipc": zmq.ipc,
                "curve": zmq.curve,
                "lossless_ipc": zmq.lossless_ipc,
                "mends": zmq.mends,
            },
        });
        return print(format!("{info}\n").as_bytes());
    }
    let yes = |flag| if flag { "yes" } else { "no" };
    let mends = match zmq.mends.is_empty() {
        true => "none: the stock build".to_owned(),
        false => zmq.mends.join(", "),
    };
    let text = format!(
        "pushpull      {version}\n\
         platform      {platform}\n\
         libzmq        {zmq_version}\n\
         \x20 ipc         {}\n\
         \x20 curve       {}\n\
         \x20 lossless    {}\n\
         \x20 mends       {mends}\n",
        yes(zmq.ipc),
        yes(zmq.curve),
        match zmq.lossless_ipc {
            true => "yes",
            false => "no: a sender that closes an ipc connection loses messages",
        },
    );
    print(text.as_bytes())
}

pub fn completions(shell: Shell) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "pushpull", &mut script);
    print(&script)
}

pub fn man(args: &ManArgs) -> Result {
    let command = Args::command();
    match &args.folder {
        Some(folder) => {
            pages(command, folder).map_err(|e| End::Failed(format!("{}: {e}", folder.display())))
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command)
                .render(&mut page)
                .map_err(End::failed)?;
            print(&page)
        }
    }
}

fn pages(command: clap::Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command.disable_help_subcommand(true), folder)
}

/// To standard output, which may be closed like any other's.
pub fn print(bytes: &[u8]) -> Result {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(End::of_output)
}
