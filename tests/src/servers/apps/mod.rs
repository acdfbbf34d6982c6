//! Servers that each run a small application from `apps/`. It can have faults; here it answers
//! "ok".

use std::fs;
use std::path::Path;
use std::process::Command;

use super::http::http;
use super::{PORT, Server, built, command, installed, with_file};

/// Seconds until an idle connection is closed. No connection here is idle for so long.
const IDLE: u64 = 60;

/// A goroutine a connection, on net/http. It listens with Multipath TCP.
pub(super) const GO: Server = http("go", |_| {
    let mut command = Command::new(built("go-app")?);
    command.args([PORT.to_string(), IDLE.to_string()]);
    Ok(command)
});

/// A virtual machine with a thread that waits for requests, and eight that answer.
pub(super) const JAVA: Server = http("java", |folder| java(folder, PORT, IDLE, true));

/// Four threads that answer, in one process.
pub(super) const GUNICORN: Server = http("gunicorn", |folder| gunicorn(folder, IDLE));

/// One thread with an event loop.
pub(super) const UVICORN: Server = http("uvicorn", |folder| uvicorn(folder, IDLE));

/// A thread that waits for requests, and eight that answer.
pub(super) const PUMA: Server = http("puma", |folder| puma(folder, IDLE));

/// The JDK's own server, which closes idle connections after so many seconds.
///
/// # Errors
/// A [`crate::harness::Skip`] if it is not installed; else if its source cannot be written.
pub fn java(folder: &Path, port: u16, idle: u64, nodelay: bool) -> anyhow::Result<Command> {
    // Only the JDK has the compiler.
    installed("javac")?;
    let source = folder.join("App.java");
    fs::write(&source, include_str!("App.java"))?;
    let mut java = Command::new(installed("java")?);
    java.args(["-XX:TieredStopAtLevel=1", "-Xmx128m"]);
    java.arg(format!("-Dsun.net.httpserver.nodelay={nodelay}"));
    java.arg(format!("-Dsun.net.httpserver.idleInterval={idle}"));
    java.arg(source).arg(port.to_string());
    Ok(java)
}

/// The WSGI application with four threads.
///
/// # Errors
/// As [`java`].
pub fn gunicorn(folder: &Path, idle: u64) -> anyhow::Result<Command> {
    fs::write(folder.join("wsgi.py"), include_str!("wsgi.py"))?;
    let place = folder.display();
    command(
        "gunicorn",
        &format!(
            "--chdir {place} --bind 0.0.0.0:{PORT} --workers 1 --worker-class gthread --threads 4 \
             --keep-alive {idle} --backlog 4096 wsgi:app --pid {place}/pid"
        ),
    )
}

/// The WSGI application with two processes that each serve one connection at a time, on a port of
/// this host.
///
/// # Errors
/// As [`java`].
pub fn gunicorn_sync(folder: &Path, port: u16, backlog: u32) -> anyhow::Result<Command> {
    fs::write(folder.join("wsgi.py"), include_str!("wsgi.py"))?;
    let place = folder.display();
    command(
        "gunicorn",
        &format!(
            "--chdir {place} --bind 127.0.0.1:{port} --workers 2 --worker-class sync \
             --backlog {backlog} wsgi:app --pid {place}/pid"
        ),
    )
}

/// The ASGI application.
///
/// # Errors
/// As [`java`].
pub fn uvicorn(folder: &Path, idle: u64) -> anyhow::Result<Command> {
    fs::write(folder.join("wsgi.py"), include_str!("wsgi.py"))?;
    command(
        "uvicorn",
        &format!(
            "--app-dir {} --host 0.0.0.0 --port {PORT} --backlog 4096 --no-access-log \
             --lifespan off --log-level error --timeout-keep-alive {idle} wsgi:asgi",
            folder.display()
        ),
    )
}

/// The Rack application with eight threads.
///
/// # Errors
/// As [`java`].
pub fn puma(folder: &Path, idle: u64) -> anyhow::Result<Command> {
    let rackup = folder.join("config.ru");
    fs::write(&rackup, include_str!("config.ru"))?;
    let text = format!(
        "bind 'tcp://0.0.0.0:{PORT}?backlog=4096'\nthreads 8, 8\nenvironment 'production'\n\
         persistent_timeout {idle}\nrackup '{}'\n",
        rackup.display()
    );
    with_file("puma", "--silent -C", &folder.join("puma.rb"), &text)
}

/// PHP-FPM with six processes that stay, below the folder as their root. It speaks FastCGI.
///
/// # Errors
/// As [`java`].
pub fn php_fpm(folder: &Path) -> anyhow::Result<Command> {
    fs::write(folder.join("app.php"), include_str!("app.php"))?;
    let place = folder.display();
    let text = format!(
        "[global]\nerror_log = {place}/error.log\ndaemonize = no\n\
         [www]\nuser = root\ngroup = root\nlisten = 0.0.0.0:{PORT}\nlisten.backlog = 4096\n\
         pm = static\npm.max_children = 6\nchroot = {place}\n\
         php_admin_value[output_buffering] = 0\n"
    );
    // The name of its program contains the version.
    let names =
        fs::read_dir("/usr/sbin").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let found =
        names.filter_map(|name| name.into_string().ok()).find(|name| name.starts_with("php-fpm"));
    let program = found.unwrap_or_else(|| "php-fpm".to_owned());
    with_file(&program, "--nodaemonize --allow-to-run-as-root -y", &folder.join("fpm.conf"), &text)
}
