//! One page that needs nothing else: the picture, a table, and what searches them.
//!
//! Guarantees: the page asks for no other resource, and its own policy forbids it to; no
//! script runs but the one whose digest is in that policy, whatever names say.
//! Without scripts it is the picture and the table.
//!
//! Source: <https://www.w3.org/TR/CSP3/>.

use std::fmt::Write as _;

use policyc_bpf::Digest;

use super::svg::{escape, svg};
use super::{ServiceMap, together};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page. `about` is said below its heading.
pub fn html(map: &ServiceMap, about: &str) -> String {
    let of = |text: &str| format!("'sha256-{}'", base64(&Digest::of(&[text.as_bytes()]).0));
    let (nodes, edges) = (map.nodes.len(), map.edges.len());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src {}; script-src {}; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>service map</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        of(STYLE),
        of(SCRIPT)
    );
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<header><h1>Service map</h1><p>{}</p>\n<form id=\"filter\">\n\
         <label>Search <input id=\"search\" type=\"search\" placeholder=\"name, address, policy\"></label>\n\
         <label>Port <input id=\"port\" type=\"search\" placeholder=\"443 or 53/udp\" size=\"14\"></label>\n\
         <fieldset><legend>Verdict</legend>{}</fieldset>\n\
         <span class=\"buttons\"><button type=\"button\" id=\"in\" title=\"larger\">+</button>\
         <button type=\"button\" id=\"out\" title=\"smaller\">−</button>\
         <button type=\"button\" id=\"all\">Show all</button></span>\n\
         <output id=\"count\">{nodes} names, {edges} connections</output>\n</form></header>\n",
        escape(about),
        ["forwarded", "dropped", "audit"].map(checkbox).concat(),
    );
    let _ = write!(page, "<main><div id=\"picture\">{}</div>\n{}</main>\n", svg(map), table(map));
    let _ = write!(page, "<script>{SCRIPT}</script>\n</body>\n</html>\n");
    page
}

fn checkbox(verdict: &str) -> String {
    format!(
        "<label class=\"{verdict}\"><input type=\"checkbox\" name=\"verdict\" \
         value=\"{verdict}\" checked>{verdict}</label>"
    )
}

/// A row for each service between two; `data-edge` is the index of the line.
fn table(map: &ServiceMap) -> String {
    let mut text = String::from(
        "<table><thead><tr><th>From</th><th>To</th><th>Service</th><th class=\"number\">Forwarded\
         </th><th class=\"number\">Dropped</th><th class=\"number\">Audit</th><th>Policies</th>\
         </tr></thead>\n<tbody>\n",
    );
    for (index, ((from, to), services)) in map.edges.iter().enumerate() {
        let addresses = |node| map.nodes.get(node).into_iter().flatten().cloned();
        let addresses: Vec<_> = addresses(from).chain(addresses(to)).collect();
        for (service, seen) in services {
            let policies: Vec<_> = seen.policies.iter().cloned().collect();
            let policies = policies.join(", ");
            let words = [from.name(), to.name(), &policies, &addresses.join(" ")].join("\u{1f}");
            let counts = seen.counts;
            let port = service.text().to_lowercase();
            let _ = writeln!(
                text,
                "<tr data-edge=\"{index}\" data-port=\"{}\" data-words=\"{}\"><td>{}</td>\
                 <td>{}</td><td>{}</td>{}{}{}<td>{}</td></tr>",
                escape(&port),
                escape(&words.to_lowercase()),
                escape(from.name()),
                escape(to.name()),
                escape(&service.text()),
                cell("forwarded", counts.forwarded),
                cell("dropped", counts.dropped),
                cell("audit", counts.audit),
                escape(&policies),
            );
        }
    }
    let mut sum = super::Counts::default();
    map.edges.values().for_each(|services| sum.add(together(services)));
    let _ = write!(
        text,
        "</tbody>\n<tfoot><tr><td colspan=\"3\">shown</td>{}{}{}<td></td></tr></tfoot></table>",
        cell("forwarded", sum.forwarded),
        cell("dropped", sum.dropped),
        cell("audit", sum.audit),
    );
    text
}

fn cell(verdict: &str, count: u64) -> String {
    let none = if count == 0 { " none" } else { "" };
    format!("<td class=\"number {verdict}{none}\">{count}</td>")
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = word >> (18 - 6 * digit) & 63;
            let known = DIGITS.get(value as usize).filter(|_| digit as usize <= three.len());
            text.push(known.map_or('=', |digit| char::from(*digit)));
        }
    }
    text
}

#[cfg(test)]
#[test]
fn base64_is_that_of_the_standard() {
    // RFC 4648, section 10.
    let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
    for (text, expected) in cases {
        assert_eq!(base64(text.as_bytes()), expected);
    }
}
