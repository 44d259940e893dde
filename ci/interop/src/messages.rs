//! The messages of a run, which every peer in every language can make and check:
//! number and CRC-32 of the body, eight hexadecimal digits each, then the body; in
//! one frame, or head, body and an empty frame.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Single,
    Multi,
}

impl Shape {
    pub fn named(name: &str) -> Self {
        match name {
            "single" => Self::Single,
            "multi" => Self::Multi,
            _ => panic!("no shape is called {name}"),
        }
    }
}

/// Mostly small; every thousandth is 20 000 bytes.
fn body(n: u64) -> Vec<u8> {
    let size = if n % 1000 == 999 { 20_000 } else { n % 97 };
    (0..size).map(|at| (n + at) as u8).collect()
}

fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ 0xedb8_8320 * (crc & 1)
        })
    };
    !bytes.iter().fold(!0, step)
}

pub fn make(n: u64, shape: Shape) -> Vec<Vec<u8>> {
    let body = body(n);
    let mut head = format!("{n:08x}{:08x}", crc(&body)).into_bytes();
    match shape {
        Shape::Single => {
            head.extend(body);
            vec![head]
        }
        Shape::Multi => vec![head, body, Vec::new()],
    }
}

#[track_caller]
pub fn check(n: u64, shape: Shape, frames: &[impl AsRef<[u8]>]) {
    let wanted = make(n, shape);
    let same =
        wanted.len() == frames.len() && wanted.iter().zip(frames).all(|(w, f)| w == f.as_ref());
    if !same {
        let head = frames.first().map_or(&[][..], |f| f.as_ref());
        let head = String::from_utf8_lossy(&head[..head.len().min(16)]);
        panic!(
            "message {n} is not as it was sent: {} frames, {head}",
            frames.len()
        );
    }
}
