//! What was wrong, once a finding has ended: its headline says what is.

use crate::model::snapshot::Finding;

impl Finding {
    /// Returns a clause in the past tense that holds whatever else the finding says: "clients were
    /// refused".
    pub fn was(&self) -> &'static str {
        was(self.kind).unwrap_or("something was wrong")
    }
}

fn was(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "abandoned" => "connections ended in the accept queue",
        "accept-fails" => "accept() failed",
        "accept-queue-overflow" => "clients were refused",
        "accept-starved" => "connections waited to be accepted",
        "backlog-clamped" => "net.core.somaxconn cut the backlog",
        "close-wait-leak" => "connections were left in CLOSE_WAIT",
        "closed-unserved" => "connections were closed with nothing read",
        "connect-fails" => "connects got no connection",
        "connection-churn" => "connections served one exchange at most",
        "cork-held" => "TCP_CORK or MSG_MORE held data",
        "cpu-starved" => "threads waited for a CPU",
        "delayed-ack" => "requests waited for a delayed ACK",
        "keepalive-race" => "requests met connections that their server had closed",
        "nagle-delayed-ack" => "Nagle's algorithm held data",
        "retransmits" => "segments were retransmitted",
        "send-blocked" => "writers waited for room in the send buffer",
        "slow-app" => "clients waited for the application",
        "slow-reader" => "requests waited unread",
        "slow-start-after-idle" => "exchanges waited for the congestion window",
        "small-writes" => "responses were written in small pieces",
        "syn-queue-pressure" => "handshakes piled up",
        "tail" => "the slowest exchanges took far longer than most",
        "throttled" => "a CPU quota held exchanges",
        "thundering-herd" => "threads were woken in vain",
        "truncated-responses" => "connections were closed with data unread",
        "udp-receive-overflow" => "datagrams were dropped",
        "unanswered" => "requests ended without an answer",
        "uneven-workers" => "work was shared unevenly",
        "upstream-imbalance" => "one upstream differed from the others",
        "zero-window" => "peers did not read",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::was;
    use crate::model::finding::kinds;

    #[test]
    fn every_kind_has_its_clause() {
        for kind in kinds() {
            let clause = was(kind).unwrap_or_else(|| panic!("{kind}"));
            assert!(clause.chars().count() <= 54 && !clause.ends_with('.'), "{clause}");
        }
    }
}
