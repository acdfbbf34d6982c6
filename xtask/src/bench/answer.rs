//! Reads the answer to an HTTP request, as far as is needed to know where it ends.

use anyhow::{Context, Result, bail};

/// The answer so far.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The bytes up to the end of the head.
    head: Vec<u8>,
    /// Bytes of the body that are still to come, once the head is complete.
    left: Option<usize>,
}

/// Longer heads are an error.
const LONGEST_HEAD: usize = 16 * 1_024;

impl Answer {
    /// Takes the next bytes. Returns whether the answer is complete.
    ///
    /// # Errors
    /// If it has no length, another status than 200, or bytes behind its end.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<bool> {
        let (mut left, length) = match self.left {
            Some(left) => (left, bytes.len()),
            None => {
                let searched = self.head.len().saturating_sub(END.len() - 1);
                self.head.extend_from_slice(bytes);
                let found = self.head[searched..].windows(END.len()).position(|at| at == END);
                let Some(end) = found.map(|at| searched + at + END.len()) else {
                    return self.incomplete();
                };
                (body_length(&self.head[..end])?, self.head.len() - end)
            }
        };
        left = left.checked_sub(length).context("more bytes than the answer has")?;
        self.left = Some(left);
        Ok(left == 0)
    }

    fn incomplete(&self) -> Result<bool> {
        if self.head.len() > LONGEST_HEAD {
            bail!("the answer's head does not end");
        }
        Ok(false)
    }
}

const END: &[u8] = b"\r\n\r\n";

fn body_length(head: &[u8]) -> Result<usize> {
    let head = str::from_utf8(head).context("the answer's head is no text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("the answer is {status}");
    }
    for line in lines {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return value.trim().parse().context("the answer's length");
        }
    }
    bail!("the answer has no length")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 5\r\n\r\nhello";

    #[test]
    fn an_answer_ends_wherever_it_is_cut() {
        for cut in 1..WHOLE.len() {
            let mut answer = Answer::default();
            assert!(!answer.take(&WHOLE[..cut]).expect("the first part"), "{cut}");
            assert!(answer.take(&WHOLE[cut..]).expect("the rest"), "{cut}");
        }
        assert!(Answer::default().take(WHOLE).expect("the whole"));
    }

    #[test]
    fn other_answers_are_errors() {
        for other in [
            &b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        ] {
            assert!(Answer::default().take(other).is_err());
        }
        assert!(Answer::default().take(&[b'a'; 2 * LONGEST_HEAD]).is_err());
    }
}
