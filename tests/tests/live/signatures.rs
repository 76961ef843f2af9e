//! Nothing goes live that is not signed by who is trusted, where that is asked for.

use std::fs;

use crate::build::{bindings_text, deny_echo, save};
use crate::lab::{Lab, must};
use crate::pods::has_tool;

#[test]
fn are_asked_for_before_anything_is_done() {
    const TEST: &str = "signatures::are_asked_for_before_anything_is_done";
    if !has_tool(TEST, "minisign") {
        return;
    }
    let Some(lab) = Lab::new(TEST) else { return };
    let at = |name: &str| lab.file(name).display().to_string();
    for who in ["team", "others"] {
        let (public, secret) = (at(&format!("{who}.pub")), at(&format!("{who}.key")));
        must(&format!("minisign -G -W -p {public} -s {secret}"));
    }
    let (artifact, to) = (at("a.policyc"), at("bindings.yaml"));
    save(&deny_echo(), &lab.file("a.policyc"));
    let place = "- {subject: demo/right, attach: {tc: {interface: veth-right, netns: RIGHT}}}\n";
    fs::write(lab.file("bindings.yaml"), bindings_text(&lab, place)).expect("a file");
    let key = at("team.pub");
    let args = ["apply", &artifact, "--bindings", &to, "--require-signature", &key];
    let refused = |what: &str| {
        let error = lab.refuses(args).err;
        assert!(error.contains(what), "{error}");
        let status = policyc_runtime::status(&lab.host()).expect("status");
        assert!(status.live.is_none(), "{what}");
    };
    refused("is not signed: there is no");
    let sign = |who: &str| {
        must(&format!("minisign -S -s {} -m {artifact} -t 'shop 1.2'", at(&format!("{who}.key"))));
    };
    sign("others");
    refused("was made with another key");
    sign("team");
    let signed = fs::read(&artifact).expect("the artifact");
    fs::write(&artifact, [signed.as_slice(), b"x"].concat()).expect("a file");
    refused("it was changed after it was signed");
    fs::write(&artifact, signed).expect("a file");
    let said = lab.says(args);
    assert!(said.contains("  signed: shop 1.2"), "{said}");
}
