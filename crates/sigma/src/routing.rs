//! Which rules an event meets, by the logsource of both.

/// How strictly the logsource of a rule is held against the event's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Routing {
    /// Every rule meets every event.
    None,
    /// A rule is left out only where its logsource contradicts the event's: a dimension both name differs, or
    /// the event's logsource is complete and lacks a dimension that the rule names.
    Lenient,
    /// A rule is left out where the event lacks, or differs in, any dimension that the rule names.
    Strict,
}

/// Where an event comes from, in Sigma's three dimensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSource<'a> {
    /// For example `aws`, `linux`.
    pub product: Option<&'a str>,
    /// For example `webserver`.
    pub category: Option<&'a str>,
    /// For example `sshd`.
    pub service: Option<&'a str>,
    /// Whether a dimension that is `None` is known to be absent, not merely unknown.
    pub is_complete: bool,
}

/// Which events a rule is for. Compared without regard to ASCII case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSource {
    /// The product, if the rule names one.
    pub product: Option<String>,
    /// The category, if the rule names one.
    pub category: Option<String>,
    /// The service, if the rule names one.
    pub service: Option<String>,
    /// Further keys and their texts, `definition` among them; kept, not compared.
    pub custom: Vec<(String, String)>,
}

impl RuleSource {
    /// Whether a rule with this logsource meets an event of `source`.
    #[must_use]
    pub fn admits(&self, source: LogSource<'_>, routing: Routing) -> bool {
        let needs_all = match routing {
            Routing::None => return true,
            Routing::Lenient => source.is_complete,
            Routing::Strict => true,
        };
        let dimensions =
            [(&self.product, source.product), (&self.category, source.category), (&self.service, source.service)];
        dimensions.into_iter().all(|(rule, event)| match (rule, event) {
            (None, _) => true,
            (Some(rule), Some(event)) => rule.eq_ignore_ascii_case(event),
            (Some(_), None) => !needs_all,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: [&str; 3], event: [&str; 3], is_complete: bool, expected: [bool; 3]) {
        let some = |it: &'static str| Some(it).filter(|it| !it.is_empty());
        let rule = rule.map(|it| Some(it.to_owned()).filter(|it| !it.is_empty()));
        let [product, category, service] = rule;
        let rule = RuleSource { product, category, service, custom: Vec::new() };
        let event: [&'static str; 3] = event.map(|it| &*it.to_owned().leak());
        let [product, category, service] = event.map(some);
        let source = LogSource { product, category, service, is_complete };
        let admits = [Routing::None, Routing::Lenient, Routing::Strict].map(|it| rule.admits(source, it));
        assert_eq!(admits, expected);
    }

    #[test]
    fn a_rule_is_left_out_by_contradiction_or_by_what_is_missing() {
        let windows = ["windows", "process_creation", ""];
        check(windows, ["windows", "process_creation", "sysmon"], false, [true, true, true]);
        check(windows, ["Windows", "PROCESS_CREATION", ""], false, [true, true, true]);
        check(windows, ["linux", "process_creation", ""], false, [true, false, false]);
        check(windows, ["windows", "", ""], false, [true, true, false]);
        check(windows, ["", "", ""], false, [true, true, false]);
        check(["", "", ""], ["windows", "", ""], true, [true, true, true]);
    }

    #[test]
    fn a_complete_logsource_contradicts_what_it_lacks() {
        check(["apache", "webserver", ""], ["", "webserver", ""], true, [true, false, false]);
        check(["apache", "webserver", ""], ["", "webserver", ""], false, [true, true, false]);
        check(["", "webserver", ""], ["", "webserver", ""], true, [true, true, true]);
    }
}
