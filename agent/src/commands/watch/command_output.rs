//! The file that takes the command's output while the screen is shown.

use std::{
    fs::{File, Permissions},
    io,
    os::unix::fs::{FileExt, PermissionsExt},
};

use anyhow::Context;

use crate::text::{Untrusted, bytes};

/// The longest output that is printed at the end, in bytes: of a longer one its end.
const MAX_PRINTED: u64 = 1 << 20;

/// The file that takes the command's output. It has no name in any folder, so it goes with the last
/// process that has it open, however that ends.
pub(super) struct CommandOutput {
    file: File,
}

impl CommandOutput {
    /// Makes the file.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn create() -> anyhow::Result<Self> {
        let context = "cannot create a file for the command's output";
        let file = tempfile::tempfile().context(context)?;
        file.set_permissions(Permissions::from_mode(0o600)).context(context)?;
        Ok(Self { file })
    }

    /// The open file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Returns the sentence on where it is meanwhile. `pid` is the command.
    pub(super) fn notice(pid: u32) -> Untrusted {
        format!(
            "what the command writes is printed at the end; until then: tail -f /proc/{pid}/fd/1"
        )
        .into()
    }

    /// Prints what the command wrote.
    pub(super) fn finish(self) {
        let (text, left_out) = match self.text() {
            Ok(found) => found,
            Err(error) => {
                note!("backscope: cannot read what the command wrote: {error}");
                return;
            }
        };
        if left_out > 0 {
            let (left_out, printed) = (bytes(left_out), bytes(MAX_PRINTED));
            note!(
                "backscope: the command wrote {left_out} that are left out here, and then \
                 {printed} (to keep all of it: -- sh -c 'CMD > FILE'):"
            );
        } else if !text.is_empty() {
            note!("backscope: the command wrote:");
        }
        for line in text.lines() {
            note!("{line}");
        }
    }

    /// Returns what was written last, and how many bytes came before it.
    fn text(&self) -> io::Result<(String, u64)> {
        // Read by position: the command's descriptor shares the offset, and may still be written to.
        let length = self.file.metadata()?.len();
        let left_out = length.saturating_sub(MAX_PRINTED);
        let mut bytes = vec![0; (length - left_out) as usize];
        self.file.read_exact_at(&mut bytes, left_out)?;
        Ok((String::from_utf8_lossy(&bytes).into_owned(), left_out))
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::MetadataExt};

    use super::*;

    #[test]
    fn it_has_no_name_and_only_its_owner_can_read_it() {
        let output = CommandOutput::create().unwrap();
        let metadata = output.file().metadata().unwrap();
        assert_eq!((metadata.nlink(), metadata.mode() & 0o077), (0, 0));
    }

    #[test]
    fn the_end_of_a_long_output_is_printed() {
        let output = CommandOutput::create().unwrap();
        output.file().write_all(b"one\ntwo \x1b[31mred\n").unwrap();
        // `note!` escapes each line.
        assert_eq!(output.text().unwrap(), ("one\ntwo \x1b[31mred\n".to_owned(), 0));
        output.file().write_all(&vec![b'x'; MAX_PRINTED as usize]).unwrap();
        let (text, left_out) = output.text().unwrap();
        assert_eq!((text.len() as u64, left_out), (MAX_PRINTED, 17));
        assert!(text.ends_with('x'));
    }
}
