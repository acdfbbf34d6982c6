//! Web servers that serve files, or pass requests on to one that does: on processor 0.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Bench;
use crate::background::{Background, pin};
use crate::step;

/// The ports of the server that serves files, and of the one in front of it.
const PORTS: (u16, u16) = (8097, 8098);

/// The folder of the files to serve.
const FOLDER: &str = "www";

/// Connections of the client at most.
pub(super) const CONNECTIONS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Software {
    Nginx,
    Apache,
}

impl Software {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "Apache",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "apache2",
        }
    }

    fn config(self, role: Role, dir: &Path) -> String {
        match self {
            Self::Nginx => nginx(role, dir),
            Self::Apache => apache(role, dir),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Serves files.
    Server,
    /// Passes requests on to an nginx that serves files.
    Proxy,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Proxy => "proxy",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Server => PORTS.0,
            Self::Proxy => PORTS.1,
        }
    }
}

/// A running web server.
pub(super) struct Web {
    process: Background,
    /// The server behind a proxy.
    _behind: Option<Background>,
    role: Role,
}

impl Web {
    /// Starts it. Says so and returns `None` if it is not installed.
    pub(super) fn start(bench: &Bench, software: Software, role: Role) -> Result<Option<Self>> {
        // Apache does not start without the folder.
        fs::create_dir_all(bench.dir.join(FOLDER))?;
        let behind = match role {
            Role::Server => None,
            Role::Proxy => match serve(bench, Software::Nginx, Role::Server)? {
                Some(behind) => Some(behind),
                None => return Ok(None),
            },
        };
        let process = serve(bench, software, role)?;
        Ok(process.map(|process| Self { process, _behind: behind, role }))
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.role.port()).into()
    }
}

/// Writes a file of so many bytes to serve, and returns its path on the server.
pub(super) fn file(bench: &Bench, bytes: usize) -> Result<String> {
    fs::write(bench.dir.join(FOLDER).join(bytes.to_string()), vec![b'x'; bytes])?;
    Ok(format!("/{bytes}"))
}

fn serve(bench: &Bench, software: Software, role: Role) -> Result<Option<Background>> {
    let name = software.program();
    let Some(program) = step::which(name) else {
        eprintln!("    {name} is not installed (`cargo xtask setup`): left out");
        return Ok(None);
    };
    let config = bench.dir.join(format!("{name}-{}.conf", role.name()));
    fs::write(&config, software.config(role, &bench.dir))?;
    let mut command = Command::new(program);
    match software {
        Software::Nginx => command.arg("-p").arg(&bench.dir).args(["-e", "stderr", "-c"]),
        // One process, as for nginx. It cannot leave children behind.
        Software::Apache => command.args(["-X", "-f"]),
    };
    command.arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Background::start(pin(&mut command, 0))?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, role.port())).is_err() {
        if Instant::now() > deadline {
            bail!("{name} does not listen on port {}", role.port());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Some(process))
}

fn nginx(role: Role, dir: &Path) -> String {
    let (dir, behind, own) = (dir.display(), PORTS.0, role.port());
    // A response that does not fit into the buffers waits there, and not in a file.
    let location = match role {
        Role::Server => format!("root {dir}/{FOLDER};"),
        Role::Proxy => "proxy_pass http://behind; proxy_http_version 1.1; \
                        proxy_set_header Connection \"\"; proxy_max_temp_file_size 0;"
            .to_owned(),
    };
    let name = role.name();
    format!(
        "daemon off; master_process off; pid nginx-{name}.pid; error_log /dev/null;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;
    scgi_temp_path t5;
    upstream behind {{ server 127.0.0.1:{behind}; keepalive 64; }}
    server {{ listen 127.0.0.1:{own}; location / {{ {location} }} }}
}}
"
    )
}

fn apache(role: Role, dir: &Path) -> String {
    let (dir, modules, name) = (dir.display(), "/usr/lib/apache2/modules", role.name());
    let (behind, own, threads) = (PORTS.0, role.port(), 2 * CONNECTIONS);
    let pass = match role {
        Role::Server => String::new(),
        Role::Proxy => format!(
            "LoadModule proxy_module {modules}/mod_proxy.so\n\
             LoadModule proxy_http_module {modules}/mod_proxy_http.so\n\
             ProxyPass / http://127.0.0.1:{behind}/\n"
        ),
    };
    format!(
        "LoadModule mpm_event_module {modules}/mod_mpm_event.so\n\
         LoadModule authz_core_module {modules}/mod_authz_core.so\n\
         {pass}ServerName localhost\nListen 127.0.0.1:{own}\nDocumentRoot {dir}/{FOLDER}\n\
         PidFile {dir}/apache-{name}.pid\nDefaultRuntimeDir {dir}\nErrorLog /dev/null\n\
         MaxKeepAliveRequests 0\nKeepAliveTimeout 600\nStartServers 1\nServerLimit 1\n\
         ThreadsPerChild {threads}\nMaxRequestWorkers {threads}\nThreadLimit {threads}\n\
         User www-data\nGroup www-data\n"
    )
}
