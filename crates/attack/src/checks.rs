//! The checks of inspection by name: what exceptions may speak of.

use crate::report::Family;

/// Every check that finds something, by the family of what it finds. A test build refuses a finding that is not here.
pub const CHECKS: &[(Family, &[&str])] = &[
    (
        Family::SqlInjection,
        &[
            "sql-catalogue",
            "sql-comment",
            "sql-comparison",
            "sql-condition",
            "sql-file",
            "sql-function",
            "sql-joined",
            "sql-order",
            "sql-query",
            "sql-stacked",
            "sql-statement",
            "sql-tautology",
            "sql-union",
            "sql-wait",
        ],
    ),
    (
        Family::CrossSiteScripting,
        &[
            "markup-active",
            "markup-attribute",
            "markup-handler",
            "markup-probe",
            "markup-script",
            "markup-tag",
            "markup-way-out",
            "script-bracket-call",
            "script-call",
            "script-constructor",
            "script-link",
            "script-sink",
            "script-without-letters",
        ],
    ),
    (
        Family::PathTraversal,
        &[
            "path-climb",
            "path-climb-to-file",
            "path-disguised",
            "path-padded",
            "path-squashed",
            "path-steps",
            "path-system-file",
        ],
    ),
    (Family::FileInclusion, &["file-address", "file-wrapper"]),
    (Family::CommandInjection, &["shell-command", "shell-first-command", "shell-function"]),
    (
        Family::CodeInjection,
        &[
            "asp-code",
            "dotnet-code",
            "dotnet-object",
            "java-class",
            "java-code",
            "java-expression",
            "java-object",
            "java-package",
            "ldap-filter",
            "node-code",
            "node-object",
            "nosql-code",
            "nosql-operator",
            "php-code",
            "php-object",
            "php-setting",
            "php-tag",
            "prototype-pollution",
            "python-code",
            "python-object",
            "ruby-object",
            "server-side-include",
            "server-tag",
            "xpath-expression",
        ],
    ),
    (Family::TemplateInjection, &["server-tag", "template-directive", "template-expression"]),
    (Family::RequestForgery, &["address-in-disguise", "address-metadata", "address-scheme", "probe-domain"]),
    (Family::XmlEntity, &["xml-doctype", "xml-encoding", "xml-entity", "xml-include", "xml-schema", "xml-transform"]),
    (Family::Lookup, &["jndi-lookup", "nested-lookup"]),
    (
        Family::ProtocolAttack,
        &[
            "content-length",
            "header-control-character",
            "line-break-command",
            "line-break-field",
            "transfer-encoding",
            "two-lengths",
        ],
    ),
    (Family::Scanner, &["scanner-agent"]),
    (Family::Policy, &["host-is-address", "no-content-type", "no-user-agent"]),
];

/// The names of the checks of a family, in order; none for a family without findings.
#[must_use]
pub fn checks_of(family: Family) -> &'static [&'static str] {
    CHECKS.iter().find(|it| it.0 == family).map_or(&[], |it| it.1)
}

/// Finds the check of a family by its name.
#[must_use]
pub fn check_of(family: Family, name: &str) -> Option<&'static str> {
    checks_of(family).iter().copied().find(|it| *it == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The code with checks in it.
    const CODE: [&str; 10] = [
        include_str!("expression.rs"),
        include_str!("inspector.rs"),
        include_str!("literal.rs"),
        include_str!("markup.rs"),
        include_str!("path.rs"),
        include_str!("protocol.rs"),
        include_str!("script.rs"),
        include_str!("shell.rs"),
        include_str!("words.rs"),
        include_str!("sql/grammar.rs"),
    ];

    #[test]
    fn every_name_is_written_in_the_code_and_stands_once_in_its_family() {
        for (family, names) in CHECKS {
            assert!(names.is_sorted() && names.iter().collect::<BTreeSet<_>>().len() == names.len(), "{family:?}");
            for name in *names {
                let quoted = format!("\"{name}\"");
                let is_written = CODE.iter().chain([&include_str!("sql/mod.rs")]).any(|it| it.contains(&quoted));
                assert!(is_written, "{name} is no check");
            }
        }
    }

    #[test]
    fn every_word_that_alone_means_something_is_listed() {
        for (family, check) in crate::literal::told() {
            assert_eq!(check_of(family, check), Some(check), "{family:?}");
        }
    }
}
