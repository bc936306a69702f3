//! Bytes in the order they came, as many as there is room for.

/// Up to `N` bytes.
#[derive(Debug)]
pub struct Ring<const N: usize> {
    bytes: [u8; N],
    /// The next byte to be taken and the next free place; both only ever grow.
    tail: usize,
    head: usize,
}

impl<const N: usize> Ring<N> {
    /// No bytes.
    pub const fn new() -> Self {
        Self { bytes: [0; N], tail: 0, head: 0 }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.head - self.tail
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// How many more there is room for.
    pub fn room(&self) -> usize {
        N - self.len()
    }

    /// Puts a byte behind the others.
    ///
    /// # Errors
    /// [`Full`]; the byte is not in then.
    pub fn push(&mut self, byte: u8) -> Result<(), Full> {
        if self.room() == 0 {
            return Err(Full);
        }
        self.bytes[self.head % N] = byte;
        self.head += 1;
        Ok(())
    }

    /// Takes the first byte.
    pub fn pop(&mut self) -> Option<u8> {
        if self.is_empty() {
            return None;
        }
        let byte = self.bytes[self.tail % N];
        self.tail += 1;
        Some(byte)
    }

    /// Where among the bytes from the `from`th on the first is that `wanted` takes.
    pub fn position(&self, from: usize, wanted: impl Fn(u8) -> bool) -> Option<usize> {
        (from..self.len()).find(|at| wanted(self.bytes[(self.tail + at) % N]))
    }

    /// Drops the first `count` bytes.
    pub fn skip(&mut self, count: usize) {
        self.tail += count.min(self.len());
    }
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// There is no room for another byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_the_order_they_went_in() {
        let mut ring = Ring::<4>::new();
        let mut expected = 0;
        for byte in 0..=255 {
            ring.push(byte).unwrap();
            if byte % 3 == 2 {
                while let Some(got) = ring.pop() {
                    assert_eq!(got, expected);
                    expected += 1;
                }
            }
        }
        assert_eq!((ring.len(), ring.pop(), ring.pop()), (1, Some(255), None));
    }

    #[test]
    fn a_full_ring_refuses() {
        let mut ring = Ring::<2>::new();
        assert_eq!((ring.push(1), ring.push(2), ring.push(3)), (Ok(()), Ok(()), Err(Full)));
        assert_eq!((ring.position(0, |byte| byte == 2), ring.position(0, |byte| byte == 3)), (Some(1), None));
        ring.skip(1);
        assert_eq!((ring.push(3), ring.position(1, |_| true), ring.room()), (Ok(()), Some(1), 0));
        ring.skip(9);
        assert!(ring.is_empty());
    }
}
