//! FastCGI, as a web server speaks it to PHP-FPM.

use super::{Answer, Ask, took_us};

const BEGIN: u8 = 1;
const END: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;

pub(super) fn request(ask: Ask) -> Vec<u8> {
    let (path, query) = ask.path();
    let parameters = [
        ("SCRIPT_FILENAME", "/app.php"),
        ("SCRIPT_NAME", "/app.php"),
        ("REQUEST_METHOD", "GET"),
        ("PATH_INFO", path),
        ("QUERY_STRING", &query),
    ];
    let pairs: Vec<u8> = parameters.iter().flat_map(|(name, value)| pair(name, value)).collect();
    // Role 1 (responder), flag 1 (keep the connection).
    let begin = record(BEGIN, &[0, 1, 1, 0, 0, 0, 0, 0]);
    [begin, record(PARAMS, &pairs), record(PARAMS, b""), record(STDIN, b"")].concat()
}

fn pair(name: &str, value: &str) -> Vec<u8> {
    // A length below 128 takes one byte.
    [&[name.len() as u8, value.len() as u8][..], name.as_bytes(), value.as_bytes()].concat()
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16).to_be_bytes();
    [&[1, kind, 0, 1, length[0], length[1], 0, 0][..], content].concat()
}

pub(super) fn answer(came: &[u8]) -> Option<Answer> {
    let mut at = 0;
    loop {
        let head = came.get(at..at + 8)?;
        at += 8 + usize::from(u16::from_be_bytes([head[4], head[5]])) + usize::from(head[6]);
        if at > came.len() {
            return None;
        }
        if head[1] == END {
            // The head is in the first record.
            return Some(Answer {
                length: at,
                took_us: took_us(&came[8..at.min(1_024)]),
                closes: false,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_record() {
        let output = record(6, b"X-Took: 9\r\n\r\nok");
        let whole = [output, record(END, &[0; 8])].concat();
        assert_eq!(
            answer(&whole),
            Some(Answer { length: whole.len(), took_us: Some(9), closes: false })
        );
        assert_eq!(answer(&whole[..whole.len() - 1]), None);
        let request = request(Ask::Quick);
        assert!(
            request.ends_with(&[1, STDIN, 0, 1, 0, 0, 0, 0]) && request.starts_with(&[1, BEGIN])
        );
    }
}
