use std::{
    cell::{Cell, RefCell},
    fmt, mem,
};

use crate::{
    context::{Frame, Native, RawFrame},
    receipt::{Fate, Receipt, ReturnReason, Ticket},
};

/// One ZeroMQ message: one frame, or several that travel as a whole.
///
/// Made from anything that is bytes. What is owned (`String`, `Vec<u8>`,
/// `Box<[u8]>`) is taken over without a copy; libzmq frees it once it is on
/// the wire.
///
/// ```
/// use pushpull::Message;
///
/// assert_eq!(Message::from("hello").as_bytes(), b"hello");
///
/// let parts = Message::multipart(["envelope", "", "body"]);
/// assert_eq!(parts.frames().count(), 3);
/// assert_eq!(parts.len(), 12);
/// ```
#[derive(Default)]
pub struct Message {
    frames: Frames,
}

/// Several messages that travel through a channel as one item.
///
/// On the wire they are ordinary messages, in this order.
pub type Batch = Vec<Message>;

pub(crate) enum Frames {
    /// One, of libzmq's: by itself, see there.
    Native(Native),
    Other(Other),
}

pub(crate) enum Other {
    Owned(Vec<u8>),
    Many(Vec<Frame>),
    /// With a receipt; never one in another. Boxed, so that all other messages
    /// are not larger for it.
    Tracked(Box<(Frames, Ticket)>),
}

/// The frames of a message that came out of it.
pub(crate) enum Parts {
    One(Frame),
    Many(Vec<Frame>),
}

impl Message {
    /// A message of several frames. Empty frames count; no frame at all gives
    /// one empty frame, since ZeroMQ knows no message without one.
    pub fn multipart<I>(frames: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Message>,
    {
        let mut all = Vec::new();
        for part in frames {
            match part.into().into_parts().0 {
                Parts::One(frame) => all.push(frame),
                Parts::Many(many) => all.extend(many),
            }
        }
        Self::from_frames(all)
    }

    pub(crate) fn from_frames(mut frames: Vec<Frame>) -> Self {
        let frames = if frames.len() > 1 {
            Frames::Other(Other::Many(frames))
        } else {
            match frames.pop() {
                Some(Frame::Native(native)) => Frames::Native(native),
                Some(Frame::Owned(bytes)) => Frames::Other(Other::Owned(bytes)),
                None => Frames::default(),
            }
        };
        Self { frames }
    }

    #[inline]
    pub(crate) fn from_native(native: Native) -> Self {
        Self {
            frames: Frames::Native(native),
        }
    }

    pub(crate) fn from_raw(raw: RawFrame) -> Self {
        Self::from_native(raw.into_native())
    }

    pub(crate) fn from_raws(raws: Vec<RawFrame>) -> Self {
        let frames = raws.into_iter().map(RawFrame::into_native);
        Self::from_frames(frames.map(Frame::Native).collect())
    }

    /// Gives its frame away where it is one of libzmq's, and comes back where it is not. (A
    /// `Result` of the two would lie elsewhere: see `Native`.)
    #[inline]
    pub(crate) fn give_native(mut self, take: impl FnOnce(Native)) -> Option<Self> {
        if !matches!(self.frames, Frames::Native(_)) {
            return Some(self);
        }
        match mem::take(&mut self.frames) {
            Frames::Native(native) => take(native),
            Frames::Other(other) => self.frames = Frames::Other(other),
        }
        mem::forget(self);
        None
    }

    pub(crate) fn into_parts(mut self) -> (Parts, Option<Ticket>) {
        let ticket = self.take_ticket();
        let frames = mem::take(&mut self.frames);
        mem::forget(self);
        let parts = match frames {
            Frames::Native(native) => Parts::One(Frame::Native(native)),
            Frames::Other(Other::Owned(bytes)) => Parts::One(Frame::Owned(bytes)),
            Frames::Other(Other::Many(frames)) => Parts::Many(frames),
            // Taken off above.
            Frames::Other(Other::Tracked(_)) => Parts::Many(Vec::new()),
        };
        (parts, ticket)
    }

    /// The same message with a [`Receipt`], for those who send through a clone
    /// of [`Push::sender`](crate::Push::sender), in a `Select` or inside a
    /// batch. One that has a receipt already gets a new one instead.
    pub fn tracked(mut self) -> (Self, Receipt) {
        drop(self.take_ticket());
        let (ticket, receipt) = Receipt::new();
        self.attach(ticket);
        (self, receipt)
    }

    pub(crate) fn attach(&mut self, ticket: Ticket) {
        let frames = mem::take(&mut self.frames);
        self.frames = Frames::Other(Other::Tracked(Box::new((frames, ticket))));
    }

    /// Takes the receipt off, tells it that this comes back, and whether it has
    /// a reader.
    pub(crate) fn tell_return(&mut self, reason: ReturnReason) -> bool {
        self.take_ticket().is_some_and(|ticket| {
            ticket.tell(|| Fate::Returned {
                reason,
                message: self.clone(),
            })
        })
    }

    #[inline]
    pub(crate) fn take_ticket(&mut self) -> Option<Ticket> {
        if !matches!(self.frames, Frames::Other(Other::Tracked(_))) {
            return None;
        }
        match mem::take(&mut self.frames) {
            Frames::Other(Other::Tracked(tracked)) => {
                let (frames, ticket) = *tracked;
                self.frames = frames;
                Some(ticket)
            }
            frames => {
                self.frames = frames;
                None
            }
        }
    }

    /// The first frame, and for most messages the only one.
    pub fn as_bytes(&self) -> &[u8] {
        self.frames.split().0
    }

    /// All frames, in order.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = &[u8]> + DoubleEndedIterator {
        let (first, others) = self.frames.split();
        Each {
            first: Some(first),
            others: others.iter(),
        }
    }

    /// The bytes of all frames together.
    #[inline]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there is not a single byte in any frame.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of all frames, joined. Free of a copy when the message was
    /// made from a `Vec`, a `String` or a box and never sent.
    pub fn into_vec(self) -> Vec<u8> {
        match self.into_parts().0 {
            Parts::One(frame) => frame.into_vec(),
            Parts::Many(frames) => {
                let mut joined = Vec::with_capacity(frames.iter().map(Frame::len).sum());
                for frame in &frames {
                    joined.extend_from_slice(frame.as_bytes());
                }
                joined
            }
        }
    }
}

impl Frames {
    #[inline]
    fn len(&self) -> usize {
        match self {
            Frames::Native(native) => native.len(),
            Frames::Other(Other::Owned(bytes)) => bytes.len(),
            Frames::Other(Other::Many(frames)) => frames.iter().map(Frame::len).sum(),
            Frames::Other(Other::Tracked(tracked)) => tracked.0.len(),
        }
    }

    /// The bytes of the first, and those behind it.
    #[inline]
    fn split(&self) -> (&[u8], &[Frame]) {
        match self {
            Frames::Native(native) => (native.as_bytes(), &[]),
            Frames::Other(Other::Owned(bytes)) => (bytes, &[]),
            Frames::Other(Other::Many(frames)) => (frames[0].as_bytes(), &frames[1..]),
            Frames::Other(Other::Tracked(tracked)) => tracked.0.split(),
        }
    }
}

impl Default for Frames {
    fn default() -> Self {
        Frames::Other(Other::Owned(Vec::new()))
    }
}

/// The frames of a message.
struct Each<'a> {
    first: Option<&'a [u8]>,
    others: std::slice::Iter<'a, Frame>,
}

impl<'a> Iterator for Each<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let next = || self.others.next().map(Frame::as_bytes);
        self.first.take().or_else(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.first.is_some()) + self.others.len();
        (left, Some(left))
    }
}

impl DoubleEndedIterator for Each<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let last = self.others.next_back().map(Frame::as_bytes);
        last.or_else(|| self.first.take())
    }
}

impl ExactSizeIterator for Each<'_> {}

impl Drop for Message {
    fn drop(&mut self) {
        if COLLECTING.get() {
            let frames = mem::take(&mut self.frames);
            COLLECTED.with_borrow_mut(|all| all.push(Message { frames }));
        }
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::from_native(Native::copy_of(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    fn from(bytes: &[u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            frames: Frames::Other(Other::Owned(bytes)),
        }
    }
}

impl From<Box<[u8]>> for Message {
    fn from(bytes: Box<[u8]>) -> Self {
        bytes.into_vec().into()
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Clone for Message {
    fn clone(&self) -> Self {
        let frames = self.frames().map(Native::copy_of).map(Frame::Native);
        Self::from_frames(frames.collect())
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.frames().eq(other.frames())
    }
}

impl Eq for Message {}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for frame in self.frames() {
            list.entry(&Excerpt(frame));
        }
        list.finish()
    }
}

struct Excerpt<'a>(&'a [u8]);

impl fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        let shown = &self.0[..self.0.len().min(SHOWN)];
        write!(f, "b\"{}\"", shown.escape_ascii())?;
        if shown.len() < self.0.len() {
            write!(f, "... ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

/// What a queue's channel carries: a [`Message`], or a [`Batch`] of them.
///
/// Sealed: there is no third one.
pub trait Item: Clone + fmt::Debug + Send + Sync + 'static + sealed::Item {}

impl Item for Message {}
impl Item for Batch {}

pub(crate) mod sealed {
    use super::{Batch, Message, ReturnReason};

    pub trait Item: Sized {
        const IS_BATCH: bool;

        fn count(&self) -> usize;
        /// In bytes.
        fn size(&self) -> usize;
        /// Takes off what receipts there are, tells them that this comes back,
        /// and whether all of it has a reader that way.
        fn tell(&mut self, reason: ReturnReason) -> bool;
        fn unpack(self, take: impl FnMut(Message));
        fn pack(messages: Vec<Message>) -> Vec<Self>;
        fn each(messages: &mut Vec<Message>, take: impl FnMut(Self));
    }

    impl Item for Message {
        const IS_BATCH: bool = false;

        fn count(&self) -> usize {
            1
        }

        #[inline]
        fn size(&self) -> usize {
            self.len()
        }

        fn tell(&mut self, reason: ReturnReason) -> bool {
            self.tell_return(reason)
        }

        #[inline]
        fn unpack(self, mut take: impl FnMut(Message)) {
            take(self);
        }

        fn pack(messages: Vec<Message>) -> Vec<Self> {
            messages
        }

        #[inline]
        fn each(messages: &mut Vec<Message>, take: impl FnMut(Self)) {
            messages.drain(..).for_each(take);
        }
    }

    impl Item for Batch {
        const IS_BATCH: bool = true;

        fn count(&self) -> usize {
            self.len()
        }

        #[inline]
        fn size(&self) -> usize {
            self.iter().map(Message::len).sum()
        }

        fn tell(&mut self, reason: ReturnReason) -> bool {
            let told = |all, message: &mut Message| message.tell_return(reason) && all;
            self.iter_mut().fold(true, told) && !self.is_empty()
        }

        #[inline]
        fn unpack(self, take: impl FnMut(Message)) {
            self.into_iter().for_each(take);
        }

        fn pack(messages: Vec<Message>) -> Vec<Self> {
            if messages.is_empty() {
                Vec::new()
            } else {
                vec![messages]
            }
        }

        #[inline]
        fn each(messages: &mut Vec<Message>, take: impl FnMut(Self)) {
            let next = Vec::with_capacity(messages.len());
            Self::pack(std::mem::replace(messages, next))
                .into_iter()
                .for_each(take);
        }
    }
}

thread_local! {
    static COLLECTING: Cell<bool> = const { Cell::new(false) };
    static COLLECTED: RefCell<Vec<Message>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` and returns the messages that were dropped on this thread while it
/// ran, oldest first.
pub(crate) fn collect_dropped(f: impl FnOnce()) -> Vec<Message> {
    struct Off;
    impl Drop for Off {
        fn drop(&mut self) {
            COLLECTING.set(false);
        }
    }

    COLLECTING.set(true);
    let off = Off;
    f();
    drop(off);
    COLLECTED.take()
}

#[cfg(test)]
mod tests {
    use super::{Frame, Message, Native};

    /// Rust does not promise it; it is a matter of speed alone.
    #[test]
    fn a_message_is_no_larger_than_its_frame_and_length() {
        assert_eq!(size_of::<Frame>(), size_of::<Native>());
        assert_eq!(size_of::<Message>(), size_of::<Native>());
    }
}
