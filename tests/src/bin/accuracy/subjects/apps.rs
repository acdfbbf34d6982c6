//! Servers that run an application.

use std::process::Command;

use backscope_tests::servers::{PORT, apps, built, with_file};

use super::{Place, Subject};
use crate::wire::{Ask, Wire};

const BASE: Subject = Subject {
    name: "",
    wire: Wire::Http,
    one_thread: false,
    pipelines: true,
    closes_idle: true,
    can: |_| true,
    prepare: |_| anyhow::bail!("not a server"),
};

/// Returns whether an application behind an interface (WSGI, FastCGI) can do this with its
/// connection.
fn behind_an_interface(ask: Ask) -> bool {
    !matches!(ask, Ask::Split | Ask::Cork)
}

/// One process, four threads that answer.
pub(super) const GUNICORN: Subject = Subject {
    name: "gunicorn",
    pipelines: false,
    can: behind_an_interface,
    prepare: |place| apps::gunicorn(place.folder, place.idle),
    ..BASE
};

/// One thread with an event loop.
pub(super) const UVICORN: Subject = Subject {
    name: "uvicorn",
    one_thread: true,
    can: behind_an_interface,
    prepare: |place| apps::uvicorn(place.folder, place.idle),
    ..BASE
};

/// One thread with an event loop, and nothing between it and the sockets.
pub(super) const ASYNCIO: Subject = Subject {
    name: "asyncio",
    one_thread: true,
    prepare: |place| {
        let text = include_str!("../../../servers/apps/raw.py");
        Ok(with_words(with_file("python3", "", &place.folder.join("raw.py"), text)?, place))
    },
    ..BASE
};

/// One thread with an event loop.
pub(super) const NODE: Subject = Subject {
    name: "node",
    one_thread: true,
    can: |ask| ask != Ask::Cork,
    prepare: |place| {
        let text = include_str!("../../../servers/apps/serve.js");
        Ok(with_words(with_file("node", "", &place.folder.join("serve.js"), text)?, place))
    },
    ..BASE
};

/// A goroutine a connection. It listens by Multipath TCP.
pub(super) const GO: Subject = Subject {
    name: "go",
    prepare: |place| Ok(with_words(Command::new(built("go-app")?), place)),
    ..BASE
};

/// A thread that waits for requests, eight that answer.
pub(super) const JAVA: Subject = Subject {
    name: "java",
    // It checks for idle connections only now and then.
    closes_idle: false,
    // It writes head and body separately, and without TCP_NODELAY by default.
    can: |ask| !matches!(ask, Ask::Cork | Ask::Unread),
    prepare: |place| apps::java(place.folder, PORT, place.idle, !place.nagle),
    ..BASE
};

/// A thread that waits for requests, eight that answer.
pub(super) const PUMA: Subject = Subject {
    name: "puma",
    can: |ask| behind_an_interface(ask) && ask != Ask::Unread,
    prepare: |place| apps::puma(place.folder, place.idle),
    ..BASE
};

/// A process a connection.
pub(super) const PHP_FPM: Subject = Subject {
    name: "php-fpm",
    wire: Wire::FastCgi,
    pipelines: false,
    closes_idle: false,
    can: |ask| behind_an_interface(ask) && ask != Ask::Unread,
    prepare: |place| apps::php_fpm(place.folder),
    ..BASE
};

/// Adds the arguments of our own servers: a port, and the seconds until an idle connection is
/// closed.
fn with_words(mut command: Command, place: &Place<'_>) -> Command {
    command.args([PORT.to_string(), place.idle.to_string()]);
    command
}
