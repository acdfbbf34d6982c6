//! Text of a finding: sentences that are said only if the fact they rest on was observed.

use std::net::SocketAddr;

use super::chain::Cause;
use crate::text::Untrusted;

/// Sentences of a finding, with the names of the facts that they rest on.
///
/// A finding whose claims change says something else, and is reported again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    sentences: Untrusted,
    claims: Vec<&'static str>,
    inferred: bool,
    causes: Vec<Cause>,
    peer: Option<SocketAddr>,
}

impl Text {
    /// Says a sentence if its fact holds. `claim` names the fact.
    pub(super) fn say(
        self,
        claim: &'static str,
        holds: bool,
        sentence: impl FnOnce() -> String,
    ) -> Self {
        self.quote(claim, holds, || sentence().into())
    }

    /// Says a sentence as [`say`](Self::say) does, with words from outside in it.
    pub(super) fn quote(
        mut self,
        claim: &'static str,
        holds: bool,
        sentence: impl FnOnce() -> Untrusted,
    ) -> Self {
        if holds {
            self.claims.push(claim);
            self.push(&sentence());
        }
        self
    }

    /// Says a sentence that follows from facts, and was not itself observed.
    pub(super) fn infer(
        self,
        claim: &'static str,
        holds: bool,
        sentence: impl FnOnce() -> String,
    ) -> Self {
        let inferred = self.inferred || holds;
        Self { inferred, ..self.say(claim, holds, sentence) }
    }

    /// Names a fact that the headline, the severity, the owner or the fix rests on.
    pub(super) fn rest_on(self, claim: &'static str, holds: bool) -> Self {
        self.say(claim, holds, String::new)
    }

    /// Names a finding that would explain this one, if the facts say so. Those that are named
    /// first are the better ones.
    pub(super) fn follows_from(mut self, holds: bool, cause: Cause) -> Self {
        if holds {
            self.causes.push(cause);
        }
        self
    }

    /// Says which address the finding is about.
    pub(super) fn about(self, peer: SocketAddr) -> Self {
        Self { peer: Some(peer), ..self }
    }

    /// Returns what would explain the finding, and the address that it is about.
    pub(super) fn causes(&self) -> (Vec<Cause>, Option<SocketAddr>) {
        (self.causes.clone(), self.peer)
    }

    /// Returns the sentences.
    pub(super) fn sentences(&self) -> &Untrusted {
        &self.sentences
    }

    /// Returns the names of the facts.
    pub(super) fn claims(&self) -> &[&'static str] {
        &self.claims
    }

    /// Tells whether something in it was inferred.
    pub(super) fn is_inferred(&self) -> bool {
        self.inferred
    }

    fn push(&mut self, sentence: &Untrusted) {
        if !self.sentences.is_empty() && !sentence.is_empty() {
            self.sentences.push(" ");
        }
        self.sentences.push(sentence);
    }
}

/// Sentences that rest on nothing but what makes the finding.
impl From<String> for Text {
    fn from(sentences: String) -> Self {
        Self { sentences: sentences.into(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_has_its_fact_and_nothing_else() {
        let text = Text::from("It is so.".to_owned())
            .say("full", true, || "The queue was full.".to_owned())
            .say("asleep", false, || "The reader slept.".to_owned())
            .infer("lost", true, || "Probably a segment was lost.".to_owned());
        assert_eq!(text.sentences(), "It is so. The queue was full. Probably a segment was lost.");
        assert_eq!(text.claims(), ["full", "lost"]);
        assert!(text.is_inferred());
    }
}
