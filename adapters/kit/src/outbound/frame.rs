//! One encoded frame: a head and the body slices behind it, none of them copied on the way out.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

/// Body slices kept inside the frame before a heap list is needed.
const BODY_INLINE: usize = 2;

/// An encoded frame. Empty slices are dropped on the way in.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    head: Bytes,
    body: SmallVec<[Bytes; BODY_INLINE]>,
    len: usize,
}

impl Frame {
    /// A frame of one piece.
    #[must_use]
    pub fn new(head: impl Into<Bytes>) -> Self {
        let head = head.into();
        let len = head.len();
        Self {
            head,
            body: SmallVec::new(),
            len,
        }
    }

    /// Adds a slice behind what is there.
    pub fn push(&mut self, slice: Bytes) {
        if !slice.is_empty() {
            self.len += slice.len();
            self.body.push(slice);
        }
    }

    /// [`push`](Self::push), for building in one expression.
    #[must_use]
    pub fn with(mut self, slice: Bytes) -> Self {
        self.push(slice);
        self
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slices in order.
    pub fn slices(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.head)
            .chain(&self.body)
            .filter(|slice| !slice.is_empty())
    }

    /// Gives each slice away, with a mark on the last. An empty frame gives none.
    pub(super) fn into_segments(self, mut take: impl FnMut(Bytes, bool)) {
        let has_body = !self.body.is_empty();
        if !self.head.is_empty() {
            take(self.head, !has_body);
        }
        let last = self.body.len().saturating_sub(1);
        for (at, slice) in self.body.into_iter().enumerate() {
            take(slice, at == last);
        }
    }
}

impl From<Bytes> for Frame {
    fn from(head: Bytes) -> Self {
        Self::new(head)
    }
}

impl From<BytesMut> for Frame {
    fn from(head: BytesMut) -> Self {
        Self::new(head.freeze())
    }
}

impl Extend<Bytes> for Frame {
    fn extend<T: IntoIterator<Item = Bytes>>(&mut self, slices: T) {
        for slice in slices {
            self.push(slice);
        }
    }
}
