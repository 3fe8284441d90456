//! Faults of trusted issuers and clients, and the help for them.

use super::{MAXIMAL, assert_said, assert_warned, edited, problems};

const OTHER: &str = "  - issuer: https://other.example.com";

/// The help for a fault of the issuer with `discovery: true`.
fn help_for(issuer: &str, message: &str) -> String {
    let found = problems(&edited(MAXIMAL, OTHER, &format!("  - issuer: {issuer}")));
    let fits = found.iter().find(|problem| problem.path == "trusted_issuers[1].issuer");
    let problem = fits.unwrap_or_else(|| panic!("{issuer}: {found}"));
    assert!(problem.message.contains(message), "{issuer}: {problem}");
    problem.help.clone()
}

#[test]
fn an_issuer_that_is_no_address_is_not_told_of_jwks() {
    for (issuer, message) in [
        ("urn:adfs", "not an http or https address"),
        ("http://adfs.example.com/services/trust", "plain http can be changed"),
    ] {
        let help = help_for(issuer, message);
        assert!(help.contains("`discovery: https://ADDRESS-OF-THE-METADATA`"), "{help}");
        assert!(!help.contains("PATH") && !help.contains("danger"), "{help}");
    }
}

#[test]
fn addresses_that_stand_in_no_token_are_no_issuers() {
    let help = help_for("https://a.example/x/.well-known/openid-configuration", "address of the metadata");
    assert!(help.contains("such as https://a.example/x;"), "{help}");
    for word in ["common", "organizations"] {
        let help = help_for(&format!("https://login.microsoftonline.com/{word}/v2.0"), "stands for many tenants");
        assert!(help.contains("`{tenant}`") && help.contains("`tenants`"), "{help}");
    }
    let fine = edited(MAXIMAL, OTHER, "  - issuer: https://idp.example.com/common/v2.0");
    assert!(problems(&fine).is_empty());
}

#[test]
fn missing_algorithms_are_missing() {
    assert_said(
        MAXIMAL,
        &[("    algorithms: [ ES512 ]\n", "", "trusted_issuers[1].algorithms", "`algorithms` is missing")],
    );
}

#[test]
fn types_of_tokens_that_are_only_introspected_have_no_effect() {
    let introspected = "    introspection: { url: https://other.example.com/i, client_id: a, client_secret: { env: A } }\n    types: [ JWT ]\n";
    assert_warned(
        MAXIMAL,
        &[(
            "    discovery: true\n    audiences: [ other-api ]\n    algorithms: [ ES512 ]\n",
            &*format!("{introspected}    audiences: [ other-api ]\n").leak(),
            "trusted_issuers[1].types",
            "no effect",
        )],
    );
}

#[test]
fn weak_hashes_of_a_client_are_called_so() {
    let (config, _) = super::read(MAXIMAL).unwrap();
    for hash in ["$apr1$eqXLaXYn$wM3vSMNkPCvwyzRnMXjVG1", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="] {
        let found = config.parse_clients(&format!("- id: a\n  secrets: [ \"{hash}\" ]\n")).err().unwrap();
        assert!(found.to_string().contains("too weak") && !found.to_string().contains(hash), "{found}");
    }
}

#[test]
fn all_faults_of_a_clients_file_are_reported_together() {
    let (config, _) = super::read(MAXIMAL).unwrap();
    let found =
        config.parse_clients("- id: a\n  secret: x\n  secrets: [ abc ]\n  scopes: [ \"a b\" ]\n").err().unwrap();
    let lines: Vec<usize> = found.iter().map(|problem| problem.line).collect();
    assert!([2, 4].iter().all(|line| lines.contains(line)), "{found}");
    for empty in ["", "# nobody\n"] {
        let found = config.parse_clients(empty).err().unwrap().to_string();
        assert!(found.contains("the file is empty") && found.contains("`[]`"), "{found}");
    }
}
