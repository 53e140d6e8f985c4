//! Traversal and inclusion as attackers write them, and paths that people send.

use crate::families_tests::{find, pass};
use crate::report::Family;

/// Paths that leave their folder, or name files of the system.
pub(crate) const CLIMBS: &[&str] = &[
    "../../../etc/passwd",
    "..\\..\\..\\windows\\win.ini",
    "....//....//....//etc/passwd",
    "..;/..;/..;/etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "..%252f..%252f..%252fetc%252fpasswd",
    "/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/../x",
    "......etcpasswd",
    "c:windowswin.ini",
    "%2e%2e/%2e%2e/%2e%2e/etc/shadow",
    "%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd",
    "..%c0%af..%c0%afetc/passwd",
    "%uff0e%uff0e%u2215%uff0e%uff0e%u2215etc/passwd",
    "/etc/passwd",
    "/etc/shadow%00.png",
    "/etc/nginx/nginx.conf",
    "/proc/self/environ",
    "/var/log/apache2/access.log",
    "{cat,/etc/passwd}",
    "/proc/self/../../etc/passwd",
    "file:///etc/passwd",
    "c:\\windows\\win.ini",
    "C:/boot.ini",
    "\\\\server\\c$\\windows\\system32\\drivers\\etc\\hosts",
    "../../WEB-INF/web.xml",
    "/WEB-INF/web.xml",
    "../../../../root/.ssh/id_rsa",
    "/home/user/.ssh/id_rsa",
    "../../../.env",
    "../../../wp-config.php",
    "images/../../../../etc/hosts",
    "./../../../etc/group",
    "..././..././etc/passwd",
    "../../../../../var/log/apache2/access.log",
    "..%5c..%5c..%5cboot.ini",
    "/./././etc/passwd",
    "/var/www/../../etc/passwd",
    "Li4vLi4vLi4vZXRjL3Bhc3N3ZA==",
    "0x2e0x2e/0x2e0x2e/etc/passwd",
];

/// Wrappers with which an interpreter reads files.
pub(crate) const INCLUSIONS: &[&str] = &[
    "php://filter/convert.base64-encode/resource=config.php",
    "php://input",
    "data://text/plain;base64,PD9waHA=",
    "pHp://FiLTer/read=string.rot13/resource=index.php",
    "phar://uploads/a.jpg/x",
    "expect://id",
    "zip://a.zip#b.php",
    "compress.zlib://file.gz",
    "glob:///var/www/*",
    "jar:http://x.example/a.jar!/b",
    "x;php://stdin",
];

/// Links within a site, names of files, dates and sentences.
pub(crate) const LOOK_ALIKES: &[&str] = &[
    "../img/logo.png",
    "./style.css",
    "/static/../img/a.png",
    "/docs/guide/etc/more",
    "/etcetera",
    "etc.",
    "and so on, etc/others",
    "/home/user/notes.txt",
    "/usr/share",
    "folder/sub/file.txt",
    "C:\\Users\\anna\\Desktop\\a.docx",
    "C:\\fakepath\\photo.jpg",
    "file.tar.gz",
    "a..b",
    "wait... what",
    "1..10",
    "v1.2..v1.3",
    "main...feature",
    "...",
    "../",
    "package.json",
    "web.config help",
    "passwd",
    "passwords",
    "reset-passwd",
    "windows/11",
    "Windows\\Linux",
    "windows 11 system32 folder",
    "proc/2024/report",
    "process/self/care",
    ".env files explained",
    "php.net",
    "https://example.com/a/b/../c",
    "//cdn.example.com/x.js",
    "boot camp",
    "shadow of the tomb",
    "/search/etc",
    "log/error",
    "application/json",
    "2024/01/02",
    "and/or/not",
    "~/Downloads",
    "webpack:///./src/index.js",
    "@scope/package/dist/index.js",
    "50%/50%",
    "a/b\\c",
    "zip code://",
];

#[test]
fn finds_paths_that_leave_their_folder() {
    find(Family::PathTraversal, CLIMBS);
}

#[test]
fn finds_wrappers() {
    find(Family::FileInclusion, INCLUSIONS);
}

#[test]
fn lets_links_names_and_dates_pass() {
    pass(LOOK_ALIKES);
}
