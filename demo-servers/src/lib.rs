//! Servers with known faults, and the clients that bring them out: one file a pattern. [`demo`] has
//! those that people run by name.
//!
//! All servers but those of HTTP, and of protocols built on it, are blocking. All print what they
//! do on standard output, one fact a line, so that a script or a test can wait for `listening on
//! ADDR` and compare the times that the server itself took (`--trace`).

mod acceptor;
pub mod capture;
mod cgroup;
pub mod client;
pub mod communication;
mod connection;
pub mod connects;
pub mod datagrams;
pub mod delay_link;
pub mod demo;
mod epoll;
pub mod execution;
pub mod fault;
pub mod flood;
pub mod fork_storm;
mod half_open;
mod http;
pub mod https;
pub mod inherit;
pub mod io_uring;
pub mod load;
mod naming;
pub mod never_accept;
pub mod own_network;
mod packet;
pub mod payments;
pub mod program;
pub mod protocols;
pub mod proxying;
mod queues;
pub mod reading;
pub mod route;
pub mod serve;
pub mod service;
pub mod shop;
pub mod slow_acceptor;
pub mod sock;
mod tun;
mod upstream;
mod uring;
pub mod writing;
