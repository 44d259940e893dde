//! smoke
use pushpull::*;
use std::time::{Duration,Instant};
#[test] fn smoke(){
  let dir=tempfile::tempdir().unwrap();
  for ep in ["tcp://127.0.0.1:0".to_string(), format!("ipc://{}/a.sock",dir.path().display())] {
    let t=Instant::now();
    let pull=Pull::bind(&ep).unwrap();
    let push=Push::connect(&pull.endpoints()[0].to_string()).unwrap();
    for i in 0..100_000u32 { push.send(format!("hello {i}")).unwrap(); if i>=500 { assert_eq!(pull.recv().unwrap().as_bytes(), format!("hello {}",i-500).as_bytes()); } }
    for i in 99_500..100_000u32 { assert_eq!(pull.recv().unwrap().as_bytes(), format!("hello {}",i).as_bytes()); }
    push.send(Message::multipart(["a","","b"])).unwrap();
    assert_eq!(pull.recv().unwrap(), Message::multipart(["a","","b"]));
    println!("{:?} {:?}",t.elapsed(), push.stats());
    let t=Instant::now();
    let d=push.drain(Duration::from_secs(5)).unwrap();
    println!("drain {:?} {d:?}",t.elapsed());
    let t=Instant::now();
    println!("close {:?} {:?}",pull.close(),t.elapsed());
  }
  let push=Push::connect("tcp://127.0.0.1:1").unwrap();
  for i in 0..100 { push.send(vec![i as u8;100]).unwrap(); }
  let t=Instant::now();
  let e=push.drain(Duration::from_millis(100)).unwrap_err();
  println!("{e} {:?}",t.elapsed());
}
