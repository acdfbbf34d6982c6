//! Last part of `--help`: examples, keys, exit statuses.

/// Examples of what only a build with the lessons has.
#[cfg(feature = "lessons")]
macro_rules! lessons {
    () => {
        "  sudo backscope learn                     lessons: predict what the kernel does, \
and see it
  backscope demo nagle                     a server with a fault and its client, to watch
"
    };
}
#[cfg(not(feature = "lessons"))]
macro_rules! lessons {
    () => {
        ""
    };
}

pub(super) const EXAMPLES: &str = concat!(
    "\
Examples:
  sudo backscope watch --pid 4242          where the time of its connections goes, and who holds it
  sudo backscope watch -- ./server --port 8080
  sudo backscope record --pid 4242 -o incident.bsrec
  backscope replay incident.bsrec          everything that watch would have shown; no root needed, \
any Linux
  backscope report incident.bsrec -o incident.html
  backscope diff before.bsrec after.bsrec  what got better, and what worse
  sudo backscope listeners                 every listening socket on the machine, once
",
    lessons!(),
    "  sudo backscope doctor                    what this kernel lets backscope see, and why"
);

pub(super) const WATCH_EXAMPLES: &str = "\
Examples:
  sudo backscope watch --pid 4242            a running server and its children
  sudo backscope watch                       pick one from a list
  sudo backscope watch --port 8080 --plain   whoever listens there, as lines
  sudo backscope watch --unit nginx          a unit of systemd
  sudo backscope watch --container web       a container by name or id; --pod default/cart-0
  sudo backscope watch --comm nginx --json | jq -c 'select(.type == \"exchange\").verdict'
  sudo backscope watch -- python3 -m http.server
  sudo backscope watch --pid 4242 -o incident.bsrec
  sudo backscope watch --pid 4242 --duration 1min --report now.html
  sudo backscope watch --pid 4242 --save-to /srv/incident   the keys w, r and R write there
  sudo backscope watch --pid 4242 --theme light --clock utc

Configuration file, for the screen and for lines at a terminal; no script is changed by it:
  $XDG_CONFIG_HOME/backscope/config.toml, else ~/.config/backscope/config.toml; under sudo that of
  the user who called sudo. BACKSCOPE_CONFIG=FILE names another, and empty none. Its keys:
  theme = \"auto\"       auto, dark, light or none, as --theme
  clock = \"local\"      elapsed, local or utc, as --clock
  interval = \"500ms\"   as --interval
  [columns]            of the lists queues, connections and threads, by name and in order:
  threads = [\"thread\", \"on-cpu\"]

Exit status:
  0 done   1 failed while running   2 invalid arguments   \
3 a privilege or kernel feature is missing
  1 also if the recording that -o asked for had to end early, and the watch went on.
  With -- CMD, that of CMD, unless backscope was told to stop or failed itself.";

pub(super) const RECORD_EXAMPLES: &str = "\
Examples:
  sudo backscope record --pid 4242 -o incident.bsrec
  sudo backscope record --port 8080 -o night.bsrec --duration 8h --interval 5s
  sudo backscope record -o start.bsrec -- ./server --port 8080
  sudo backscope record --port 8080 --keep 10min --max-size 200M -o /var/lib/backscope/
  sudo backscope record --port 8080 --on-finding critical,close-wait-leak -o /var/lib/backscope/
  backscope replay incident.bsrec

The file contains addresses, command names, names that TLS clients asked for, sizes and times, but
no payload. Only its owner can read it. It is valid up to the last refresh, whatever ends the
recording.

With --keep, --max-size or --on-finding it is a flight recorder: it goes on for ever in bounded
space, in files of which each can be replayed by itself, and has a budget of 1% unless --budget or
--detail say otherwise.

Exit status: the same as for watch.";

pub(super) const REPORT_EXAMPLES: &str = "\
Examples:
  backscope report incident.bsrec -o incident.html
  backscope report incident.bsrec -o - | gzip > incident.html.gz
  sudo backscope watch --pid 4242 --duration 1min --report now.html
  backscope report incident.bsrec --format perfetto -o incident.pftrace

Open a trace at ui.perfetto.dev, which keeps it in the browser, or with trace_processor.

The page holds everything that it shows, and asks for nothing from the network. It contains \
addresses,
command names, sizes and times, but no payload. Only its owner can read it.

Exit status:
  0 done   1 cannot read or write, or the recording is damaged: OUT has what can be read
  2 no recording, of a version that this backscope does not know, or OUT exists";

pub(super) const REPLAY_EXAMPLES: &str = "\
Examples:
  backscope replay incident.bsrec                 on the screen, in real time
  backscope replay incident.bsrec --speed 8
  backscope replay incident.bsrec --json | jq 'select(.type == \"finding\")'
  backscope replay incident.bsrec --plain --speed 1
  backscope replay incident.bsrec --plain --clock utc

Keys on the screen, in addition to those of watch:
  p, space    pause, resume          + -       faster, slower
  Left Right  5 s back, 5 s forward  [ ]       30 s back, 30 s forward
  Home End    the beginning, the end f F       the next finding, the previous one

Exit status:
  0 done   1 the recording is damaged, and everything readable was shown; \
or failed while running
  2 invalid arguments";

pub(super) const LISTENERS_EXAMPLES: &str = "\
Examples:
  sudo backscope listeners
  sudo backscope listeners --watch --interval 2s
  sudo backscope listeners --pid 4242 --json
  sudo backscope listeners --pod default/cart-0";

pub(super) const DOCTOR_EXAMPLES: &str = "\
Examples:
  sudo backscope doctor
  sudo backscope doctor --json | jq .hooks

Exit status: 0 if watch can run here, 3 if not.";

#[cfg(feature = "mcp")]
pub(super) const MCP_EXAMPLES: &str = "\
An assistant starts it, and talks to it; in a configuration of servers:
  { \"command\": \"sudo\", \"args\": [\"-n\", \"backscope\", \"mcp\"] }

Tools:
  listeners   every listening socket and its queues
  watch_for   findings, worst exchanges and sums of 1 to 60 seconds
  explain     the same, of a recording

They change nothing, and return no payload. The server itself has no capability; each answer is
made by a process of its own, which gives up its rights as watch and replay do. Without root,
listeners and watch_for need the capabilities that the guide names.

Exit status: 0 when standard input ends, 1 if the connection fails.";

pub(super) const SCHEMA_EXAMPLES: &str = "\
Examples:
  backscope schema > backscope.schema.json
  backscope schema | jq '.\"$defs\".exchange.properties | keys'

The schema follows draft 2020-12. `$defs` has each type of object by its name in the field `type`,
and the output of `listeners`, `doctor` and `diff` by the name of the command. Entries that begin with a
capital letter are parts that several objects share.";
