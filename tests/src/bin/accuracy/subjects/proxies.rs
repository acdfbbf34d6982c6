//! Servers that pass requests on. Apache and HAProxy compute in Lua.

use std::fs;

use backscope_tests::servers::{PORT, with_file};

use super::Subject;
use crate::faults::BIG;
use crate::wire::{Ask, Wire};

const BASE: Subject = Subject {
    name: "",
    wire: Wire::Http,
    one_thread: true,
    pipelines: true,
    closes_idle: true,
    can: |_| true,
    prepare: |_| anyhow::bail!("not a server"),
};

/// One worker with an event loop.
pub(super) const NGINX: Subject = Subject {
    name: "nginx",
    can: |ask| !matches!(ask, Ask::Compute(_) | Ask::Sleep(_) | Ask::Cork),
    prepare: |place| {
        let (folder, idle) = (place.folder.display(), place.idle);
        fs::write(place.folder.join("big"), vec![b'x'; BIG])?;
        let text = format!(
            "daemon off; user root; worker_processes 1; pid {folder}/pid; \
             error_log {folder}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; client_body_temp_path {folder}/body; \
             proxy_temp_path {folder}/proxy;\n\
             fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; \
             scgi_temp_path {folder}/scgi;\n\
             keepalive_timeout {idle}; proxy_buffering off; proxy_http_version 1.1; sendfile on; \
             root {folder};\n\
             client_max_body_size 8m;\n\
             server {{ listen {PORT} backlog=4096;\n\
             location / {{ return 200 'ok'; }}\n\
             location = /big {{ }}\n\
             location = /unread {{ lingering_close off; keepalive_timeout 0; \
             error_page 405 =200 /big; return 405; }}\n\
             location = /call {{ proxy_pass http://127.0.0.1:7200/sleep; }}\n\
             location = /refused {{ proxy_pass http://127.0.0.1:7201; }}\n\
             location = /silent {{ proxy_read_timeout 500ms; proxy_pass http://127.0.0.1:7202; }}\n\
             location = /hang {{ proxy_connect_timeout 500ms; \
             proxy_pass http://127.0.0.1:7203; }}\n\
             location = /stream {{ proxy_pass http://127.0.0.1:7200/stream; }}\n\
             location = /split {{ tcp_nodelay off; \
             proxy_pass http://127.0.0.1:7200/split; }} }} }}\n"
        );
        with_file(
            "nginx",
            &format!("-p {folder} -e {folder}/error.log -c"),
            &place.folder.join("nginx.conf"),
            &text,
        )
    },
    ..BASE
};

/// One thread with an event loop.
pub(super) const HAPROXY: Subject = Subject {
    name: "haproxy",
    can: |ask| !matches!(ask, Ask::Split | Ask::Cork | Ask::Unread),
    prepare: |place| {
        fs::write(place.folder.join("app.lua"), HAPROXY_LUA)?;
        let (folder, idle) = (place.folder.display(), place.idle);
        let text = format!(
            "global\n nbthread 1\n tune.lua.forced-yield 1000000000\n lua-load {folder}/app.lua\n\
             defaults\n mode http\n timeout client 60s\n timeout server 60s\n timeout connect 5s\n\
             \x20timeout http-keep-alive {idle}s\n retries 0\n option http-no-delay\n\
             frontend f\n bind 0.0.0.0:{PORT} backlog 4096\n\
             \x20http-request return status 200 content-type text/plain string ok \
             if {{ path /quick }}\n\
             \x20http-request use-service lua.compute if {{ path /compute }}\n\
             \x20http-request use-service lua.sleep if {{ path /sleep }}\n\
             \x20http-request set-path /sleep if {{ path /call }}\n\
             \x20use_backend refused if {{ path /refused }}\n \
             use_backend silent if {{ path /silent }}\n\
             \x20use_backend hang if {{ path /hang }}\n default_backend up\n\
             backend up\n server s 127.0.0.1:7200\n\
             backend refused\n server s 127.0.0.1:7201\n\
             backend silent\n timeout server 500ms\n server s 127.0.0.1:7202\n\
             backend hang\n timeout connect 500ms\n server s 127.0.0.1:7203\n"
        );
        with_file("haproxy", "-f", &place.folder.join("haproxy.cfg"), &text)
    },
    ..BASE
};

/// `os.clock` is the processor time of the whole process.
const HAPROXY_LUA: &str = "
local function say(applet)
  applet:set_status(200)
  applet:add_header('content-length', '2')
  applet:start_response()
  applet:send('ok')
end
local function ms(applet) return tonumber(applet.qs:match('ms=(%d+)')) end
core.register_service('compute', 'http', function(applet)
  local stop = os.clock() + ms(applet) / 1000
  while os.clock() < stop do end
  say(applet)
end)
core.register_service('sleep', 'http', function(applet)
  core.msleep(ms(applet))
  say(applet)
end)
";

/// Threads of one process that answer, and one that waits for the next request.
pub(super) const APACHE: Subject = Subject {
    name: "apache",
    one_thread: false,
    can: |ask| !matches!(ask, Ask::Sleep(_) | Ask::Split | Ask::Cork | Ask::Unread),
    prepare: |place| {
        fs::write(place.folder.join("app.lua"), APACHE_LUA)?;
        fs::write(place.folder.join("quick"), "ok")?;
        fs::write(place.folder.join("big"), vec![b'x'; BIG])?;
        let (folder, idle) = (place.folder.display(), place.idle);
        let modules: String = ["mpm_event", "authz_core", "dir", "lua", "proxy", "proxy_http"]
            .map(|name| {
                format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
            })
            .concat();
        let text = format!(
            "{modules}ServerName localhost\nListen 0.0.0.0:{PORT}\nListenBacklog 4096\n\
             DocumentRoot {folder}\nPidFile {folder}/pid\nDefaultRuntimeDir {folder}\n\
             ErrorLog {folder}/error.log\nMaxKeepAliveRequests 0\nKeepAliveTimeout {idle}\n\
             StartServers 1\nServerLimit 1\nThreadsPerChild 16\nMaxRequestWorkers 16\n\
             User www-data\nGroup www-data\n\
             <Directory {folder}>\nRequire all granted\n</Directory>\n\
             LuaMapHandler /compute {folder}/app.lua compute\n\
             ProxyPass /call http://127.0.0.1:7200/sleep disablereuse=on\n\
             ProxyPass /refused http://127.0.0.1:7201 retry=0\n\
             ProxyPass /silent http://127.0.0.1:7202 timeout=1 retry=0\n\
             ProxyPass /hang http://127.0.0.1:7203 connectiontimeout=500ms retry=0\n\
             ProxyPass /stream http://127.0.0.1:7200/stream flushpackets=on\n"
        );
        with_file("apache2", "-D FOREGROUND -f", &place.folder.join("apache2.conf"), &text)
    },
    ..BASE
};

/// `os.clock` is the processor time of the whole process, whose other threads are idle.
const APACHE_LUA: &str = "
local function ms(r) return tonumber(r.args:match('ms=(%d+)')) end
function compute(r)
  local stop = os.clock() + ms(r) / 1000
  while os.clock() < stop do end
  r:puts('ok')
  return apache2.OK
end
";
