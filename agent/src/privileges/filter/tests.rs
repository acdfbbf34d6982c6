use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixStream,
    process::Command,
    thread,
};

use super::*;

/// Runs on a thread of its own that is confined to these calls.
fn confined<T: Send + 'static>(calls: Calls, work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = thread::spawn(move || {
        apply(&calls).unwrap();
        work()
    });
    thread.join().unwrap()
}

fn is_refused<T>(outcome: io::Result<T>) -> bool {
    outcome.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM))
}

#[test]
fn files_can_be_read_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "text").unwrap();
    let refused = confined(Calls::default(), move || {
        assert_eq!(fs::read(&file).unwrap(), b"text");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        [
            is_refused(fs::write(&file, "other")),
            is_refused(File::create(folder.path().join("new"))),
            is_refused(File::options().append(true).open(&file)),
            is_refused(fs::remove_file(&file)),
            is_refused(fs::rename(&file, folder.path().join("new"))),
            is_refused(fs::create_dir(folder.path().join("new"))),
            is_refused(std::os::unix::fs::symlink(&file, folder.path().join("new"))),
            is_refused(fs::set_permissions(&file, fs::metadata(&file).unwrap().permissions())),
        ]
    });
    assert_eq!(refused, [true; 8]);
}

#[test]
fn nothing_is_started_and_nobody_is_talked_to() {
    let refused = confined(Calls::default(), || {
        [
            is_refused(Command::new("true").spawn()),
            is_refused(TcpListener::bind("127.0.0.1:0")),
            is_refused(
                rustix::process::kill_process(
                    rustix::process::Pid::INIT,
                    rustix::process::Signal::CONT,
                )
                .map_err(Into::into),
            ),
        ]
    });
    assert_eq!(refused, [true; 3]);
}

#[test]
fn a_server_answers_and_asks_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    });
    let calls = Calls { serve: true, ..Calls::default() };
    let refused = confined(calls, move || {
        listener.accept().unwrap().0.write_all(b"42").unwrap();
        [
            is_refused(TcpListener::bind("127.0.0.1:0")),
            is_refused(TcpStream::connect(address)),
            is_refused(UdpSocket::bind("127.0.0.1:0")),
        ]
    });
    assert_eq!((client.join().unwrap().as_str(), refused), ("42", [true; 3]));
}

#[test]
fn a_client_asks_by_tcp_and_serves_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || listener.accept().unwrap().0.write_all(b"42"));
    let calls = Calls { connect: true, ..Calls::default() };
    let (said, refused) = confined(calls, move || {
        let mut said = String::new();
        TcpStream::connect(address).unwrap().read_to_string(&mut said).unwrap();
        let refused = [
            is_refused(TcpListener::bind("127.0.0.1:0")),
            is_refused(UdpSocket::bind("127.0.0.1:0")),
            is_refused(UnixStream::connect("/run/nowhere")),
        ];
        (said, refused)
    });
    server.join().unwrap().unwrap();
    assert_eq!((said.as_str(), refused), ("42", [true; 3]));
}

#[test]
fn who_switches_statistics_can_do_nothing_else() {
    let thread = thread::spawn(|| {
        // Memory that the checks take is there before.
        drop(vec![0_u8; 4_096]);
        apply_to_statistics().unwrap();
        [
            is_refused(File::open("/etc/passwd")),
            is_refused(TcpListener::bind("127.0.0.1:0")),
            is_refused(rustix::process::getpriority_process(None).map_err(Into::into)),
        ]
    });
    assert_eq!(thread.join().unwrap(), [true; 3]);
}

#[test]
fn who_makes_files_can_do_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let refused = thread::spawn(move || {
        apply_to_files(true).unwrap();
        let mut file = File::create_new(&path).unwrap();
        file.write_all(b"text").unwrap();
        file.set_len(2).unwrap();
        [
            is_refused(TcpListener::bind("127.0.0.1:0")),
            is_refused(Command::new("true").spawn()),
            is_refused(fs::rename(&path, path.with_extension("other"))),
            is_refused(std::os::unix::fs::symlink(&path, path.with_extension("link"))),
        ]
    });
    assert_eq!(refused.join().unwrap(), [true; 4]);
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"te");
}

#[test]
fn who_makes_files_opens_none_that_is_there_and_removes_only_where_it_may() {
    for removes in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::write(&old, "text").unwrap();
        let (refused, removed) = thread::spawn(move || {
            apply_to_files(removes).unwrap();
            let options = |create_new| {
                let mut options = File::options();
                options.write(true).create(true).create_new(create_new);
                options
            };
            let refused = [
                is_refused(File::open(&old)),
                is_refused(File::options().write(true).open(&old)),
                is_refused(options(false).open(&old)),
                is_refused(options(false).open(&new)),
            ];
            // The kernel's own answer: it is there.
            let taken = options(true).open(&old).unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
            options(true).open(&new).unwrap().write_all(b"new").unwrap();
            let removed = rustix::fs::unlinkat(rustix::fs::CWD, &new, rustix::fs::AtFlags::empty());
            (refused, removed)
        })
        .join()
        .unwrap();
        assert_eq!(refused, [true; 4]);
        let errno = if removes { Ok(()) } else { Err(rustix::io::Errno::PERM) };
        assert_eq!(removed, errno);
        assert_eq!(fs::read(folder.path().join("old")).unwrap(), b"text");
    }
}

#[test]
fn a_recording_is_cut_only_by_who_records() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"text").unwrap();
    let other = file.try_clone().unwrap();
    assert!(is_refused(confined(Calls::default(), move || other.set_len(2))));
    confined(Calls { cut: true, ..Calls::default() }, move || file.set_len(2)).unwrap();
}

#[test]
fn threads_and_their_talk_go_on() {
    let sum = confined(Calls::default(), || {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let thread = thread::Builder::new().name("named".to_owned()).spawn(move || {
            Write::write_all(&mut writer, &[1, 2, 3]).unwrap();
        });
        thread.unwrap().join().unwrap();
        let mut bytes = Vec::new();
        Read::read_to_end(&mut reader, &mut bytes).unwrap();
        bytes.iter().sum::<u8>()
    });
    assert_eq!(sum, 6);
}
