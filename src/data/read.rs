//! Reading pieces that may come in parts. What the bytes mean is the formats' business.

use std::io::{self, Read};

/// Fills `buffer` as far as `content` goes and returns how far that was.
pub(super) fn fill(content: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match content.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
