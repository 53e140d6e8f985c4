//! The shared scan: one pass over a text finds what is an attack by its words alone, and which checks have to look closer.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};

use crate::hit::Hit;
use crate::report::Family;

/// Which checks a text calls for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls(pub(crate) u16);

impl Calls {
    /// Words of SQL.
    pub(crate) const SQL: u16 = 1;
    /// Markup or handlers.
    pub(crate) const MARKUP: u16 = 2;
    /// Script.
    pub(crate) const SCRIPT: u16 = 4;
    /// Paths.
    pub(crate) const PATH: u16 = 8;
    /// Commands.
    pub(crate) const SHELL: u16 = 16;
    /// Templates and look-ups.
    pub(crate) const TEMPLATE: u16 = 32;
    /// XML.
    pub(crate) const XML: u16 = 64;
    /// Addresses.
    pub(crate) const ADDRESS: u16 = 128;

    /// Objects that are written as text.
    pub(crate) const OBJECT: u16 = 256;

    /// Every check, also those that bytes alone call for.
    pub(crate) const ALL: u16 = u16::MAX;

    /// Whether every check is to run.
    pub(crate) const fn is_all(self) -> bool {
        self.0 == Self::ALL
    }

    /// Whether a check is called for.
    pub(crate) const fn has(self, check: u16) -> bool {
        self.0 & check != 0
    }
}

/// What a word means.
#[derive(Clone, Copy, Debug)]
enum Means {
    /// These checks have to look.
    Calls(u16),
    /// An attack by itself.
    Sure(Family, &'static str),
    /// A hint by itself.
    Hint(Family, &'static str),
}

use Family::{
    CodeInjection as Code, FileInclusion as File, Lookup, RequestForgery as Forgery, SqlInjection as Sql,
    TemplateInjection as Template, XmlEntity as Xml,
};
use Means::{Calls as C, Hint, Sure};

/// Lower case. A word that is an attack by itself has no other use in a request.
const WORDS: &[(&str, Means)] = &[
    // SQL.
    ("select", C(Calls::SQL)),
    ("union", C(Calls::SQL)),
    ("sleep", C(Calls::SQL | Calls::SHELL)),
    ("benchmark", C(Calls::SQL)),
    ("waitfor", C(Calls::SQL)),
    ("declare", C(Calls::SQL)),
    ("insert", C(Calls::SQL)),
    ("update", C(Calls::SQL)),
    ("delete", C(Calls::SQL)),
    ("drop", C(Calls::SQL)),
    ("create", C(Calls::SQL)),
    ("alter", C(Calls::SQL)),
    ("exec", C(Calls::SQL)),
    ("having", C(Calls::SQL)),
    ("order", C(Calls::SQL)),
    ("group", C(Calls::SQL)),
    ("where", C(Calls::SQL)),
    ("like", C(Calls::SQL)),
    ("between", C(Calls::SQL)),
    (" or", C(Calls::SQL)),
    ("or ", C(Calls::SQL)),
    (")or", C(Calls::SQL)),
    ("or(", C(Calls::SQL)),
    ("'or", C(Calls::SQL)),
    ("\"or", C(Calls::SQL)),
    ("/or", C(Calls::SQL)),
    ("\tor", C(Calls::SQL)),
    ("\nor", C(Calls::SQL)),
    ("1or", C(Calls::SQL)),
    ("xor", C(Calls::SQL)),
    ("||", C(Calls::SQL | Calls::SHELL)),
    (" and", C(Calls::SQL)),
    ("and ", C(Calls::SQL)),
    (")and", C(Calls::SQL)),
    ("and(", C(Calls::SQL)),
    ("'and", C(Calls::SQL)),
    ("\"and", C(Calls::SQL)),
    ("/and", C(Calls::SQL)),
    ("\tand", C(Calls::SQL)),
    ("\nand", C(Calls::SQL)),
    ("1and", C(Calls::SQL)),
    ("&&", C(Calls::SQL | Calls::SHELL)),
    ("rlike", C(Calls::SQL)),
    ("regexp", C(Calls::SQL)),
    ("procedure", C(Calls::SQL)),
    ("dbms_", C(Calls::SQL)),
    ("utl_", C(Calls::SQL)),
    ("xp_", C(Calls::SQL)),
    ("pg_", C(Calls::SQL)),
    ("extractvalue", C(Calls::SQL)),
    ("updatexml", C(Calls::SQL)),
    ("load_file", C(Calls::SQL)),
    ("outfile", C(Calls::SQL)),
    ("copy", C(Calls::SQL)),
    ("shutdown", C(Calls::SQL)),
    ("char(", C(Calls::SQL)),
    ("chr(", C(Calls::SQL)),
    ("randomblob", C(Calls::SQL)),
    ("generate_series", C(Calls::SQL)),
    ("from", C(Calls::SQL)),
    ("--", C(Calls::SQL)),
    ("concat", C(Calls::SQL)),
    (";", C(Calls::SHELL | Calls::SQL)),
    ("regexp_substring", C(Calls::SQL)),
    ("xmltype", C(Calls::SQL)),
    ("begin", C(Calls::SQL)),
    ("gtid_", C(Calls::SQL)),
    ("information_schema", C(Calls::SQL)),
    ("elt(", C(Calls::SQL)),
    ("make_set", C(Calls::SQL)),
    ("if(", C(Calls::SQL)),
    ("if (", C(Calls::SQL)),
    ("case", C(Calls::SQL)),
    ("@@", C(Calls::SQL)),
    ("lo_", C(Calls::SQL)),
    ("sp_", C(Calls::SQL)),
    ("sys.", C(Calls::SQL)),
    ("sys_e", C(Calls::SQL)),
    ("user_lock", C(Calls::SQL)),
    ("ctxsys", C(Calls::SQL)),
    ("fn_varbin", C(Calls::SQL)),
    ("master.", C(Calls::SQL)),
    ("crypt_key", C(Calls::SQL)),
    ("_to_xml", C(Calls::SQL)),
    ("_setting", C(Calls::SQL)),
    ("openrowset", C(Calls::SQL)),
    ("opendatasource", C(Calls::SQL)),
    ("load_extension", C(Calls::SQL)),
    ("bulkcolumn", C(Calls::SQL)),
    ("string_agg", C(Calls::SQL)),
    ("analyse", C(Calls::SQL)),
    ("st_latfrom", C(Calls::SQL)),
    ("name_const", C(Calls::SQL)),
    ("json_depth", C(Calls::SQL)),
    ("unhex", C(Calls::SQL)),
    ("sqlite_", C(Calls::SQL)),
    ("m_user", C(Calls::SQL)),
    ("n_user", C(Calls::SQL)),
    ("t_user", C(Calls::SQL)),
    ("httpuri", C(Calls::SQL)),
    ("uridecode", C(Calls::SQL)),
    ("dumpfile", C(Calls::SQL)),
    ("truncate", C(Calls::SQL)),
    ("replace", C(Calls::SQL)),
    ("grant", C(Calls::SQL)),
    ("revoke", C(Calls::SQL)),
    ("load data", C(Calls::SQL)),
    ("pragma", C(Calls::SQL)),
    ("attach", C(Calls::SQL)),
    ("chr", C(Calls::SQL)),
    ("0or", C(Calls::SQL)),
    ("2or", C(Calls::SQL)),
    ("3or", C(Calls::SQL)),
    ("4or", C(Calls::SQL)),
    ("5or", C(Calls::SQL)),
    ("6or", C(Calls::SQL)),
    ("7or", C(Calls::SQL)),
    ("8or", C(Calls::SQL)),
    ("9or", C(Calls::SQL)),
    ("\ror", C(Calls::SQL)),
    ("or+", C(Calls::SQL)),
    ("or-", C(Calls::SQL)),
    ("or!", C(Calls::SQL)),
    ("or~", C(Calls::SQL)),
    ("or@", C(Calls::SQL)),
    ("or/*", C(Calls::SQL)),
    ("0and", C(Calls::SQL)),
    ("2and", C(Calls::SQL)),
    ("3and", C(Calls::SQL)),
    ("4and", C(Calls::SQL)),
    ("5and", C(Calls::SQL)),
    ("6and", C(Calls::SQL)),
    ("7and", C(Calls::SQL)),
    ("8and", C(Calls::SQL)),
    ("9and", C(Calls::SQL)),
    ("\rand", C(Calls::SQL)),
    ("and+", C(Calls::SQL)),
    ("and-", C(Calls::SQL)),
    ("and!", C(Calls::SQL)),
    ("and~", C(Calls::SQL)),
    ("and@", C(Calls::SQL)),
    ("and/*", C(Calls::SQL)),
    ("xp_cmdshell", Sure(Sql, "sql-function")),
    // Markup and script.
    ("<", C(Calls::MARKUP)),
    ("on", C(Calls::MARKUP)),
    ("alert", C(Calls::SCRIPT)),
    ("confirm", C(Calls::SCRIPT)),
    ("prompt", C(Calls::SCRIPT)),
    ("eval", C(Calls::SCRIPT)),
    ("settimeout", C(Calls::SCRIPT)),
    ("setinterval", C(Calls::SCRIPT)),
    ("function", C(Calls::SCRIPT)),
    ("setimmediate", C(Calls::SCRIPT)),
    ("execscript", C(Calls::SCRIPT)),
    ("fetch", C(Calls::SCRIPT)),
    ("atob", C(Calls::SCRIPT)),
    ("import", C(Calls::SCRIPT)),
    ("document", C(Calls::SCRIPT)),
    ("script:", C(Calls::SCRIPT)),
    ("mocha:", C(Calls::SCRIPT)),
    ("data:", C(Calls::SCRIPT)),
    ("constructor", C(Calls::SCRIPT)),
    ("constructor.constructor", Sure(Family::CrossSiteScripting, "script-constructor")),
    ("location", C(Calls::SCRIPT)),
    ("innerhtml", C(Calls::SCRIPT)),
    ("window", C(Calls::SCRIPT)),
    ("self", C(Calls::SCRIPT)),
    ("top", C(Calls::SCRIPT)),
    ("parent", C(Calls::SCRIPT)),
    ("frames", C(Calls::SCRIPT)),
    ("this", C(Calls::SCRIPT)),
    ("content[", C(Calls::SCRIPT)),
    ("[]", C(Calls::SCRIPT)),
    ("+{}", C(Calls::SCRIPT)),
    ("{}+", C(Calls::SCRIPT)),
    ("eval(atob(", Sure(Family::CrossSiteScripting, "script-call")),
    ("settimeout(atob(", Sure(Family::CrossSiteScripting, "script-call")),
    ("eval(string.fromcharcode(", Sure(Family::CrossSiteScripting, "script-call")),
    ("=&{()}", Sure(Family::CrossSiteScripting, "markup-probe")),
    // Paths.
    ("file:", C(Calls::PATH)),
    ("c:", C(Calls::PATH | Calls::SHELL)),
    ("d:", C(Calls::PATH)),
    ("..", C(Calls::PATH)),
    ("0x2e", C(Calls::PATH)),
    ("./", C(Calls::PATH)),
    ("etc", C(Calls::PATH)),
    ("proc/", C(Calls::PATH)),
    ("windows", C(Calls::PATH)),
    ("winnt", C(Calls::PATH)),
    ("web-inf", C(Calls::PATH)),
    ("meta-inf", C(Calls::PATH)),
    ("win.ini", C(Calls::PATH)),
    ("boot.ini", C(Calls::PATH)),
    (".ssh", C(Calls::PATH)),
    (".bash_history", C(Calls::PATH)),
    ("c$", C(Calls::PATH)),
    ("php://", C(Calls::PATH)),
    ("phar://", C(Calls::PATH)),
    ("expect://", C(Calls::PATH)),
    ("zip://", C(Calls::PATH)),
    ("zlib://", C(Calls::PATH)),
    ("netdoc:", C(Calls::PATH)),
    ("jar:http", C(Calls::PATH)),
    ("glob://", C(Calls::PATH)),
    ("root/.", C(Calls::PATH)),
    ("inetpub", C(Calls::PATH)),
    ("global.asa", C(Calls::PATH)),
    ("web.xml", C(Calls::PATH)),
    (".%", C(Calls::PATH)),
    // Commands.
    ("|", C(Calls::SHELL)),
    ("&", C(Calls::SHELL)),
    ("`", C(Calls::SHELL | Calls::SCRIPT)),
    ("$(", C(Calls::SHELL)),
    ("<(", C(Calls::SHELL)),
    (">(", C(Calls::SHELL)),
    (" -", C(Calls::SHELL)),
    ("\t-", C(Calls::SHELL)),
    ("\n", C(Calls::SHELL)),
    ("bin/", C(Calls::SHELL)),
    ("system32", C(Calls::SHELL | Calls::PATH)),
    ("ping", C(Calls::SHELL)),
    ("wget", C(Calls::SHELL)),
    ("curl", C(Calls::SHELL)),
    ("()", C(Calls::SHELL)),
    ("nc -", C(Calls::SHELL)),
    ("powershell", C(Calls::SHELL)),
    ("cmd", C(Calls::SHELL)),
    ("+", C(Calls::SHELL)),
    ("netstat", C(Calls::SHELL)),
    // Code: names that requests carry for no other end.
    ("<?php", Sure(Code, "php-tag")),
    ("<%=", Hint(Code, "server-tag")),
    ("<%@", Sure(Code, "server-tag")),
    ("eval($_", Sure(Code, "php-code")),
    ("system($_", Sure(Code, "php-code")),
    ("assert($_", Sure(Code, "php-code")),
    ("phpinfo()", Sure(Code, "php-code")),
    ("$_get[", Sure(Code, "php-code")),
    ("$_post[", Sure(Code, "php-code")),
    ("$_request[", Sure(Code, "php-code")),
    ("$_server[", Sure(Code, "php-code")),
    ("$_cookie[", Sure(Code, "php-code")),
    ("${@", Sure(Code, "php-code")),
    ("shell_exec(", Sure(Code, "php-code")),
    ("passthru(", Sure(Code, "php-code")),
    ("system('", Sure(Code, "php-code")),
    ("system(\"", Sure(Code, "php-code")),
    ("call_user_func", Sure(Code, "php-code")),
    ("base64_decode(", Sure(Code, "php-code")),
    ("file_get_contents(", Sure(Code, "php-code")),
    ("file_put_contents(", Sure(Code, "php-code")),
    ("auto_prepend_file", Sure(Code, "php-setting")),
    ("allow_url_include", Sure(Code, "php-setting")),
    ("gzinflate(", Sure(Code, "php-code")),
    ("proc_open(", Sure(Code, "php-code")),
    ("popen(", Sure(Code, "php-code")),
    ("invokefunction", Sure(Code, "php-code")),
    ("print(md5(", Sure(Code, "php-code")),
    ("md5(31337)", Sure(Code, "php-code")),
    ("create_function(", Sure(Code, "php-code")),
    // Names of its exceptions are looked up by programmers; these classes are called by attackers.
    ("java.lang.", Hint(Code, "java-package")),
    ("java.lang.runtime", Sure(Code, "java-class")),
    ("java.lang.process", Sure(Code, "java-class")),
    ("java.lang.system", Sure(Code, "java-class")),
    ("java.lang.class", Sure(Code, "java-class")),
    ("java.lang.thread", Sure(Code, "java-class")),
    ("java.lang.reflect", Sure(Code, "java-class")),
    ("java.lang.string", Sure(Code, "java-class")),
    ("java.lang.object", Sure(Code, "java-class")),
    ("java.lang.math", Sure(Code, "java-class")),
    ("java.lang.integer", Sure(Code, "java-class")),
    ("java.lang.character", Sure(Code, "java-class")),
    ("javax.naming", Sure(Code, "java-class")),
    ("javax.script", Sure(Code, "java-class")),
    ("java.util.priorityqueue", Sure(Code, "java-class")),
    ("java.net.url", Sure(Code, "java-class")),
    ("java.io.file", Sure(Code, "java-class")),
    ("getruntime(", Sure(Code, "java-code")),
    ("processbuilder", Sure(Code, "java-code")),
    ("classloader", Hint(Code, "java-code")),
    ("class.module", Sure(Code, "java-code")),
    ("#_memberaccess", Sure(Code, "java-expression")),
    ("_memberaccess", Sure(Code, "java-expression")),
    ("@ognl", Sure(Code, "java-expression")),
    ("ognlcontext", Sure(Code, "java-expression")),
    ("com.opensymphony", Sure(Code, "java-expression")),
    ("#context[", Sure(Code, "java-expression")),
    ("xwork", Hint(Code, "java-expression")),
    ("springframework", Hint(Code, "java-class")),
    ("com.sun.", Hint(Code, "java-package")),
    ("com.sun.org", Sure(Code, "java-class")),
    ("com.sun.rowset", Sure(Code, "java-class")),
    ("com.sun.jndi", Sure(Code, "java-class")),
    ("com.sun.corba", Sure(Code, "java-class")),
    ("org.apache.commons", Hint(Code, "java-package")),
    ("org.apache.commons.collections", Sure(Code, "java-class")),
    ("org.apache.commons.fileupload", Sure(Code, "java-class")),
    ("org.apache.commons.beanutils", Sure(Code, "java-class")),
    ("org.apache.commons.io", Sure(Code, "java-class")),
    ("serialization='custom'", Sure(Code, "java-object")),
    ("serialization=\"custom\"", Sure(Code, "java-object")),
    ("ro0ab", Sure(Code, "java-object")),
    ("jdbcrowset", Sure(Code, "java-class")),
    ("aced0005", Sure(Code, "java-object")),
    ("@type\":\"", Hint(Code, "java-object")),
    ("templatesimpl", Sure(Code, "java-class")),
    ("groovy.", Hint(Code, "java-class")),
    ("dynamic-method", Hint(Code, "java-expression")),
    ("t(java", Sure(Code, "java-expression")),
    ("new java", Sure(Code, "java-expression")),
    ("child_process", Sure(Code, "node-code")),
    ("process.mainmodule", Sure(Code, "node-code")),
    ("global.process", Sure(Code, "node-code")),
    ("require('fs')", Sure(Code, "node-code")),
    ("require(\"fs\")", Sure(Code, "node-code")),
    ("_$$nd_func", Sure(Code, "node-object")),
    ("__proto__", Sure(Code, "prototype-pollution")),
    ("constructor[prototype]", Sure(Code, "prototype-pollution")),
    ("return process", Sure(Code, "node-code")),
    ("process.env", Hint(Code, "node-code")),
    ("spawnsync(", Sure(Code, "node-code")),
    ("execsync(", Sure(Code, "node-code")),
    ("__import__(", Sure(Code, "python-code")),
    ("__class__", Sure(Code, "python-code")),
    ("__globals__", Sure(Code, "python-code")),
    ("__builtins__", Sure(Code, "python-code")),
    ("__subclasses__", Sure(Code, "python-code")),
    ("os.system(", Sure(Code, "python-code")),
    ("os.popen(", Sure(Code, "python-code")),
    ("subprocess.", Sure(Code, "python-code")),
    ("!!python/", Sure(Code, "python-object")),
    ("!!javax", Sure(Code, "java-object")),
    ("!ruby/object", Sure(Code, "ruby-object")),
    ("socket.gethostbyname(", Sure(Code, "python-code")),
    ("server.scripttimeout", Sure(Code, "asp-code")),
    ("on error resume next", Sure(Code, "asp-code")),
    ("response.write(", Sure(Code, "asp-code")),
    ("wscript.shell", Sure(Code, "asp-code")),
    ("execute(request", Sure(Code, "asp-code")),
    ("eval(request", Sure(Code, "asp-code")),
    ("system.diagnostics.process", Sure(Code, "dotnet-code")),
    ("objectdataprovider", Sure(Code, "dotnet-object")),
    ("<jsp:", Sure(Code, "server-tag")),
    ("request.getparameter(", Sure(Code, "java-code")),
    ("runat=\"server\"", Sure(Code, "server-tag")),
    // Queries of other databases.
    ("$where", Sure(Code, "nosql-operator")),
    ("[$ne]", Sure(Code, "nosql-operator")),
    ("[$gt]", Sure(Code, "nosql-operator")),
    ("[$lt]", Sure(Code, "nosql-operator")),
    ("[$regex]", Sure(Code, "nosql-operator")),
    ("[$in]", Sure(Code, "nosql-operator")),
    ("[$nin]", Sure(Code, "nosql-operator")),
    ("[$exists]", Sure(Code, "nosql-operator")),
    ("$or:", Sure(Code, "nosql-operator")),
    ("$or\":", Hint(Code, "nosql-operator")),
    ("\"$ne\"", Sure(Code, "nosql-operator")),
    ("\"$gt\"", Hint(Code, "nosql-operator")),
    ("$ne:", Sure(Code, "nosql-operator")),
    ("$gt:", Sure(Code, "nosql-operator")),
    ("\"$regex\"", Hint(Code, "nosql-operator")),
    ("db.injection", Sure(Code, "nosql-code")),
    ("db.getcollection", Sure(Code, "nosql-code")),
    ("mapreduce", Hint(Code, "nosql-code")),
    ("new date();", Sure(Code, "nosql-code")),
    ("new date(); do", Sure(Code, "nosql-code")),
    ("this.password", Sure(Code, "nosql-code")),
    ("|(uid=", Sure(Code, "ldap-filter")),
    (":2.5.13.", Sure(Code, "ldap-filter")),
    (")(uid=", Sure(Code, "ldap-filter")),
    (")(objectclass=", Sure(Code, "ldap-filter")),
    ("(objectclass=*", Sure(Code, "ldap-filter")),
    (")(cn=", Sure(Code, "ldap-filter")),
    ("*)(", Sure(Code, "ldap-filter")),
    ("*))(|", Sure(Code, "ldap-filter")),
    (")(|(", Sure(Code, "ldap-filter")),
    (")(&(", Sure(Code, "ldap-filter")),
    ("(|(mail=", Sure(Code, "ldap-filter")),
    ("*)(mail=", Sure(Code, "ldap-filter")),
    (")(!(", Sure(Code, "ldap-filter")),
    ("(&(objectc", Sure(Code, "ldap-filter")),
    ("count(/", Sure(Code, "xpath-expression")),
    ("position()=", Sure(Code, "xpath-expression")),
    ("/child::node()", Sure(Code, "xpath-expression")),
    ("name(/*", Sure(Code, "xpath-expression")),
    ("string-length(name", Sure(Code, "xpath-expression")),
    ("] | //", Sure(Code, "xpath-expression")),
    ("]|//", Sure(Code, "xpath-expression")),
    // Objects.
    (":{", C(Calls::OBJECT)),
    ("cos\nsystem", Sure(Code, "python-object")),
    ("cposix\nsystem", Sure(Code, "python-object")),
    ("c__builtin__\n", Sure(Code, "python-object")),
    ("csubprocess\n", Sure(Code, "python-object")),
    // JavaScript on a server.
    ("';while(", Sure(Code, "node-code")),
    ("\";while(", Sure(Code, "node-code")),
    ("'; while(", Sure(Code, "node-code")),
    ("\"; while(", Sure(Code, "node-code")),
    // Templates and look-ups.
    ("{{", C(Calls::TEMPLATE)),
    ("${", C(Calls::TEMPLATE)),
    ("#{", C(Calls::TEMPLATE)),
    ("$\\a{", C(Calls::TEMPLATE)),
    ("*{", C(Calls::TEMPLATE)),
    ("%{", C(Calls::TEMPLATE)),
    ("@(", C(Calls::TEMPLATE)),
    ("{%", C(Calls::TEMPLATE)),
    ("[[", C(Calls::TEMPLATE)),
    ("{", C(Calls::TEMPLATE)),
    ("<#assign", Sure(Template, "template-directive")),
    ("freemarker.template", Sure(Template, "template-directive")),
    ("#set($", Sure(Template, "template-directive")),
    ("#set ($", Sure(Template, "template-directive")),
    ("{php}", Sure(Template, "template-directive")),
    ("<%25", C(Calls::TEMPLATE)),
    ("<%", C(Calls::TEMPLATE)),
    ("${jndi:", Sure(Lookup, "jndi-lookup")),
    ("jndi:ldap", Sure(Lookup, "jndi-lookup")),
    ("jndi:rmi", Sure(Lookup, "jndi-lookup")),
    ("jndi:dns", Sure(Lookup, "jndi-lookup")),
    ("${lower:", Sure(Lookup, "nested-lookup")),
    ("${upper:", Sure(Lookup, "nested-lookup")),
    ("${env:", Sure(Lookup, "nested-lookup")),
    ("${sys:", Sure(Lookup, "nested-lookup")),
    ("${::-", Sure(Lookup, "nested-lookup")),
    ("${script:", Sure(Lookup, "nested-lookup")),
    ("${date:'", Sure(Lookup, "nested-lookup")),
    ("${java:", Sure(Lookup, "nested-lookup")),
    ("${url:", Sure(Lookup, "nested-lookup")),
    ("${dns:", Sure(Lookup, "nested-lookup")),
    // XML.
    ("<!entity", C(Calls::XML)),
    ("<!doctype", C(Calls::XML)),
    ("xinclude", Sure(Xml, "xml-include")),
    ("<xi:include", Sure(Xml, "xml-include")),
    ("+adw-", Sure(Xml, "xml-encoding")),
    ("xsi:schemalocation=\"http://xxe", C(Calls::XML)),
    ("<xs:include", Hint(Xml, "xml-schema")),
    ("<xsl:", Hint(Xml, "xml-transform")),
    ("xmlrpc/namespaces/ext", Sure(Code, "java-object")),
    // Addresses.
    ("://", C(Calls::ADDRESS)),
    ("burpcollaborator", Sure(Forgery, "probe-domain")),
    ("oastify.com", Sure(Forgery, "probe-domain")),
    ("interact.sh", Sure(Forgery, "probe-domain")),
    (".oast.", Sure(Forgery, "probe-domain")),
    ("dnslog.cn", Sure(Forgery, "probe-domain")),
    ("burp-collaborator", Sure(Forgery, "probe-domain")),
    ("requestbin.", Hint(Forgery, "probe-domain")),
    ("file:///", Hint(File, "file-address")),
];

/// The scan, made once.
#[derive(Debug)]
pub(crate) struct Literals {
    scan: AhoCorasick,
    /// What every text calls for, whatever its words.
    always: Calls,
}

impl Literals {
    pub(crate) fn new() -> Self {
        let scan = AhoCorasickBuilder::new()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(WORDS.iter().map(|it| it.0))
            .expect("the words are few and short");
        Self { scan, always: Calls::default() }
    }

    /// A scan that calls for every check, whatever a text says: what the scan proper is held against.
    pub(crate) fn calling_for_all() -> Self {
        Self { always: Calls(Calls::ALL), ..Self::new() }
    }

    /// Whether every text calls for every check.
    pub(crate) const fn calls_for_all(&self) -> bool {
        self.always.is_all()
    }

    /// Scans a text in lower case: what calls for a closer look, and attacks by word alone to `found`.
    /// The second is where the first word that calls stands.
    pub(crate) fn scan(&self, text: &[u8], found: &mut dyn FnMut(Hit)) -> (Calls, usize) {
        let (mut calls, mut first) = (self.always, text.len());
        for hit in self.scan.find_overlapping_iter(text) {
            let at = hit.start()..text.len().min(hit.end() + 60);
            match WORDS[hit.pattern().as_usize()].1 {
                Means::Calls(it) => {
                    calls.0 |= it;
                    first = first.min(hit.start());
                }
                Means::Sure(family, check) => found(Hit::sure(family, check, at)),
                Means::Hint(family, check) => found(Hit::hint(family, check, at)),
            }
        }
        (calls, first)
    }
}
