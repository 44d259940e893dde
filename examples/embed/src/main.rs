//! The least that a program does with pushpull: some jobs from one thread to
//! another, and an orderly end.

use std::{error::Error, thread, time::Duration};

use pushpull::{Pull, Push};

fn main() -> Result<(), Box<dyn Error>> {
    let zmq = pushpull::libzmq();
    println!("libzmq {:?}, mends: {:?}", zmq.version, zmq.mends);

    let pull = Pull::bind("tcp://127.0.0.1:0")?;
    let address = pull.endpoints()[0].to_string();
    let sender = thread::spawn(move || -> Result<(), Box<dyn Error + Send + Sync>> {
        let push = Push::connect(&address)?;
        for n in 0..1000 {
            push.send(format!("job {n}"))?;
        }
        push.drain(Duration::from_secs(10))?;
        Ok(())
    });

    for n in 0..1000 {
        let job = pull.recv_timeout(Duration::from_secs(10))?;
        assert_eq!(job.as_bytes(), format!("job {n}").as_bytes());
    }
    sender
        .join()
        .expect("it does not panic")
        .map_err(|e| e.to_string())?;
    println!("1000 jobs over tcp, {} left over", pull.close()?.count());

    // Over a socket file, where the system has them.
    match Pull::bind("ipc://*") {
        Ok(pull) => {
            let push = Push::connect(&pull.endpoints()[0].to_string())?;
            push.send("hello")?;
            assert_eq!(
                pull.recv_timeout(Duration::from_secs(10))?.as_bytes(),
                b"hello"
            );
            push.drain(Duration::from_secs(10))?;
            println!("and one over ipc");
        }
        Err(e) => println!("{e}"),
    }
    Ok(())
}
