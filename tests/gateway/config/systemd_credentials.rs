//! `{credential: NAME}` stands wherever a file of a secret, key, certificate or list does.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use crate::config::file_permissions::with_files;
use crate::harness::*;

/// Every key of gateway.yaml that takes a reference, as the schema has them: `listen[].tls.private_key`.
fn keys_with(reference: &[&str], schema: &Value) -> BTreeSet<String> {
    fn visit(all: &Value, schema: &Value, path: &str, wanted: &[&str], found: &mut BTreeSet<String>) {
        let name = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/"));
        if name.is_some_and(|name| wanted.contains(&name)) {
            found.insert(path.to_owned());
            return;
        }
        let schema = name.map_or(schema, |name| &all["$defs"][name]);
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            visit(all, property, &format!("{path}.{key}"), wanted, found);
        }
        for (part, more) in [("items", "[]"), ("additionalProperties", ".NAME")] {
            if schema[part].is_object() {
                visit(all, &schema[part], &format!("{path}{more}"), wanted, found);
            }
        }
        for alternative in ["oneOf", "anyOf"].iter().filter_map(|name| schema[*name].as_array()).flatten() {
            visit(all, alternative, path, wanted, found);
        }
    }
    let mut found = BTreeSet::new();
    visit(schema, schema, "", reference, &mut found);
    found
}

/// What is named in `private_key`, `ca` and the like is always a reference: no new key is forgotten.
#[test]
fn every_key_that_takes_a_file_takes_a_credential() {
    let files = gateway::Workspace::new(&Config::with_server("http://127.0.0.1:9"));
    let schema: Value = serde_json::from_str(&files.run(&["schema"]).1).unwrap();
    let found = keys_with(&["FilePath", "SecretRef"], &schema);
    for key in [
        ".api_keys_file",
        ".backends.NAME.tls.ca",
        ".backends.NAME.tls.certificate",
        ".backends.NAME.tls.private_key",
        ".clients[].jwks.file",
        ".identifier.key",
        ".listen[].tls.client_ca",
        ".listen[].tls.client_crl[]",
        ".login.accounts.file",
        ".login.cookie.keys[]",
        ".state.redis.password",
        ".state.redis.tls.ca",
        ".state.redis.tls.certificate",
        ".state.redis.tls.private_key",
        ".trusted_issuers[].jwks.file",
    ] {
        assert!(found.contains(key), "{key}: {found:#?}");
    }
    let text = schema.to_string();
    let others: Vec<_> = ["\"private_key\":{", "\"certificate\":{", "\"ca\":{"]
        .into_iter()
        .flat_map(|key| text.match_indices(key).map(|(at, _)| text[at..].chars().take(400).collect::<String>()))
        .filter(|property| !property.contains("#/$defs/") && !property.contains("san"))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}

/// All files in a directory of credentials, readable by a group that is nobody's, as systemd's list of access shows it.
fn with_credentials(config: Config) -> (Arc<gateway::Workspace>, std::path::PathBuf) {
    let by_name = |name: &str| json!({"credential": name});
    let config = config
        .set(
            "/listen/0/tls/certificates",
            json!([{"certificate": by_name("server.pem"), "private_key": by_name("server.key")}]),
        )
        .set("/listen/0/tls/client_ca", by_name("ca.pem"))
        .set("/identifier/key", by_name("identifier.key"))
        .set("/login/cookie/keys", json!([by_name("cookie.key")]))
        .set("/login/accounts/file", by_name("accounts.yaml"))
        .set("/api_keys_file", by_name("api-keys.yaml"))
        .set("/trusted_issuers/0/jwks", json!({"file": by_name("partner.json")}));
    let files = Arc::new(gateway::Workspace::new(&config));
    let credentials = files.path.join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    for name in crate::config::file_permissions::TRUSTED.into_iter().filter(|name| *name != "gateway.yaml") {
        let to = credentials.join(name.rsplit('/').next().unwrap());
        std::fs::rename(files.path.join(name), &to).unwrap();
        std::os::unix::fs::chown(&to, None, Some(54_321)).unwrap();
        std::fs::set_permissions(&to, PermissionsExt::from_mode(0o440)).unwrap();
    }
    (files, credentials)
}

#[test]
fn a_gateway_whose_files_are_all_credentials_serves_and_check_says_who_else_can_read_them() {
    let backend = Backend::start();
    let config = with_files(&backend);
    let (files, credentials) = with_credentials(config.clone());
    let check = |more: &[(&str, &std::path::Path)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wicketgate"));
        command.current_dir(&files.path).arg("check").envs(more.iter().copied());
        let output = finish(&mut command).unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, said) = check(&[("CREDENTIALS_DIRECTORY", &credentials)]);
    assert_eq!(code, Some(0), "{said}");
    for name in ["server.key", "identifier.key", "cookie.key"] {
        let note = |line: &str| {
            line.starts_with("note: ") && line.contains(name) && line.contains("group 54321 too (mode 0440)")
        };
        assert!(said.lines().any(note), "{name}: {said}");
    }
    assert!(!said.lines().any(|line| line.starts_with("note: ") && line.contains("server.pem")), "{said}");
    // Without the directory each is named, and none is taken for a path.
    let (code, said) = check(&[]);
    assert_eq!(code, Some(1));
    for key in ["tls.certificates[0].certificate", "client_ca", "identifier.key", "accounts.file", "api-keys.yaml"] {
        assert!(said.contains(key), "{key}: {said}");
    }
    assert!(said.contains("the environment variable CREDENTIALS_DIRECTORY is not set"), "{said}");
    let gateway = Gateway::start_with(
        Arc::clone(&files),
        config.signing_key.clone(),
        &[("CREDENTIALS_DIRECTORY", credentials.clone())],
    );
    gateway.login(ALICE);
    // A renewed credential is taken up as a renewed file is.
    let from = gateway.stderr.count();
    std::fs::write(credentials.join("new"), "[]\n\n").unwrap();
    std::fs::set_permissions(credentials.join("new"), PermissionsExt::from_mode(0o440)).unwrap();
    std::fs::rename(credentials.join("new"), credentials.join("api-keys.yaml")).unwrap();
    assert!(gateway.stderr.wait_after(from, |line| line["message"] == "reloaded").is_some());
}

#[test]
fn a_name_of_a_credential_leads_out_of_no_directory_and_a_key_that_all_can_read_stays_refused() {
    let (files, credentials) = with_credentials(with_files(&Backend::start()));
    let check = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wicketgate"));
        command.current_dir(&files.path).arg("check").env("CREDENTIALS_DIRECTORY", &credentials);
        let output = finish(&mut command).unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(check().0, Some(0));
    std::fs::set_permissions(credentials.join("server.key"), PermissionsExt::from_mode(0o444)).unwrap();
    let (code, said) = check();
    assert!(code == Some(1) && said.contains("server.key is open to others"), "{said}");
    let text = std::fs::read_to_string(files.config()).unwrap().replace("\"server.key\"", "\"../server.key\"");
    files.write("gateway.yaml", &text);
    let (code, said) = check();
    assert!(code == Some(1) && said.contains("this is not the name of a credential"), "{said}");
}

/// The unit hands over what the configuration beside it names, and that configuration is good.
#[test]
fn the_shipped_unit_and_its_configuration_fit_together() {
    let text = include_str!("../../../deploy/systemd/gateway.yaml");
    let unit = include_str!("../../../deploy/systemd/wicketgate.service");
    let names = |text: &str, mark: &str, end: char| -> BTreeSet<String> {
        text.split(mark).skip(1).map(|rest| rest.split(end).next().unwrap().trim().to_owned()).collect()
    };
    let credentials = names(unit, "\nLoadCredential=", ':');
    assert_eq!(names(text, "{ credential: ", '}'), credentials);
    assert!(credentials.len() > 2);
    let files = gateway::Workspace::new(&Config::new(&Backend::start()).cookies("cookie"));
    for (name, from) in [("identifier.key", "certs"), ("cookie.key", "certs"), ("server.key", "certs")] {
        assert!(credentials.contains(name));
        std::fs::copy(files.path.join(from).join(name), files.path.join(name)).unwrap();
    }
    let here = files.path.display().to_string();
    let signing = format!("{here}/certs/signing/");
    let text = text.replace("/var/lib/wicketgate/signing/", &signing).replace("/etc/wicketgate", &here);
    files.write("gateway.yaml", &text.replace("/var/lib/wicketgate", &format!("{here}/data")));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wicketgate"));
    command.current_dir(&files.path).args(["check", "--files-only"]).env("CREDENTIALS_DIRECTORY", &files.path);
    let output = finish(&mut command).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
