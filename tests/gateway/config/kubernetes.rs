//! The manifests of docs/kubernetes.md: they can be read, fit together, and the configuration in them is good.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::docs::{cited_tests, missing_tests};
use crate::harness::redis::RedisServer;
use crate::harness::*;

const PAGE: &str = include_str!("../../../docs/kubernetes.md");

/// The documents of each set of manifests.
fn sets() -> Vec<Vec<Value>> {
    let blocks = PAGE.split("```yaml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let parse = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    blocks.map(|block| block.split("\n---\n").map(parse).collect()).collect()
}

fn of_kind<'a>(set: &'a [Value], kind: &str) -> Vec<&'a Value> {
    set.iter().filter(|document| document["kind"] == kind).collect()
}

fn seconds(value: &Value) -> u64 {
    value.as_str().unwrap().strip_suffix('s').unwrap().parse().unwrap()
}

#[test]
fn the_manifests_can_be_read_and_their_parts_fit_together() {
    let sets = sets();
    assert_eq!(sets.len(), 2);
    for set in &sets {
        for document in set {
            assert!(["apiVersion", "kind"].iter().all(|key| document[key].is_string()), "{document}");
            assert_eq!(document["metadata"]["name"], "wicketgate", "{document}");
        }
        let config = of_kind(set, "ConfigMap")[0]["data"]["gateway.yaml"].as_str().unwrap();
        let config: Value = serde_saphyr::from_str(config).unwrap();
        let deployment = &of_kind(set, "Deployment")[0]["spec"];
        let (pod, labels) = (&deployment["template"]["spec"], &deployment["template"]["metadata"]["labels"]);
        assert_eq!(&deployment["selector"]["matchLabels"], labels);
        assert_eq!(&of_kind(set, "Service")[0]["spec"]["selector"], labels);
        let container = &pod["containers"][0];
        // The process has both times before it is killed.
        let shutdown = seconds(&config["shutdown"]["delay"]) + seconds(&config["shutdown"]["grace"]);
        assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > shutdown);
        // It listens where the pod says.
        let port = |name: &str| {
            let ports = container["ports"].as_array().unwrap();
            ports.iter().find(|port| port["name"] == name).unwrap()["containerPort"].to_string()
        };
        let address = |value: &Value| value.as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
        assert_eq!(port("https"), address(&config["listen"][0]["address"]));
        assert_eq!(port("admin"), address(&config["admin"]["address"]));
        // What is mounted is there, and what the configuration names lies below a mount.
        let mounts = container["volumeMounts"].as_array().unwrap();
        let volumes: Vec<&Value> = pod["volumes"].as_array().unwrap().iter().map(|volume| &volume["name"]).collect();
        assert!(mounts.iter().all(|mount| volumes.contains(&&mount["name"])) && mounts.len() == volumes.len());
        let is_mounted = |path: &str| mounts.iter().any(|mount| path.starts_with(mount["mountPath"].as_str().unwrap()));
        for path in [
            &container["args"][2],
            &container["env"][0]["value"],
            &config["issuer"]["signing_keys"],
            if config["state"]["redis"].is_null() {
                &config["state"]["embedded"]["path"]
            } else {
                &config["admin"]["socket"]
            },
        ] {
            assert!(is_mounted(path.as_str().unwrap()), "{path}");
        }
        // A volume that one pod can have goes with one pod.
        if !of_kind(set, "PersistentVolumeClaim").is_empty() {
            assert_eq!((&deployment["replicas"], &deployment["strategy"]["type"]), (&json!(1), &json!("Recreate")));
        } else {
            assert!(config["state"]["redis"].is_object() && deployment["replicas"].as_u64().unwrap() > 1);
            assert_eq!(&of_kind(set, "PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"], labels);
            let scaler = &of_kind(set, "HorizontalPodAutoscaler")[0]["spec"];
            assert_eq!(scaler["scaleTargetRef"]["name"], "wicketgate");
            assert!(scaler["minReplicas"].as_u64().unwrap() > 1);
        }
    }
}

/// A directory as the kubelet mounts it, for files that only the owner and the group can read.
fn mount(files: &gateway::Workspace, name: &str, content: &[(&str, &str)]) {
    let (path, inner) = (files.path.join(name), files.path.join(name).join("..2026_11_27"));
    std::fs::create_dir_all(&inner).unwrap();
    std::os::unix::fs::symlink("..2026_11_27", path.join("..data")).unwrap();
    for (name, text) in content {
        std::fs::write(inner.join(name), text).unwrap();
        std::fs::set_permissions(inner.join(name), PermissionsExt::from_mode(0o440)).unwrap();
        std::os::unix::fs::symlink(format!("..data/{name}"), path.join(name)).unwrap();
    }
}

/// The configuration of a set in a directory with all that it mounts, with other paths, a free port and these changes.
fn workspace(set: &[Value], changes: &[(&str, &str)]) -> gateway::Workspace {
    let config = Config::new(&Backend::start());
    let files = gateway::Workspace::new(&config);
    let text = |name: &str| std::fs::read_to_string(files.path.join(name)).unwrap();
    let secrets = [
        ("tls.crt", text("certs/server.pem")),
        ("tls.key", text("certs/server.key")),
        ("identifier.key", keys::key_file()),
        ("accounts.yaml", text("accounts.yaml")),
        ("cookie.key", keys::key_file()),
        ("redis-password", "secret".to_owned()),
    ];
    let secrets: Vec<(&str, &str)> = secrets.iter().map(|(name, text)| (*name, text.as_str())).collect();
    mount(&files, "secrets", &secrets);
    let signing = text("certs/signing/20260101T000000Z-es256.pem");
    mount(&files, "signing", &[("20260101T000000Z-es256.pem", &signing)]);
    let mut config = of_kind(set, "ConfigMap")[0]["data"]["gateway.yaml"].as_str().unwrap().to_owned();
    let here = files.path.display();
    for (from, to) in [
        ("/etc/wicketgate-signing/", format!("{here}/signing/")),
        ("/var/lib/wicketgate", format!("{here}/state")),
        ("/run/wicketgate/", format!("{here}/run/")),
        ("0.0.0.0:8443", "127.0.0.1:0".to_owned()),
        ("0.0.0.0:9900", "127.0.0.1:0".to_owned()),
    ] {
        config = config.replace(from, &to);
    }
    for (from, to) in changes {
        assert!(config.contains(from), "{from}");
        config = config.replace(from, to);
    }
    let mounted = files.path.join("config");
    mount(&files, "config", &[("gateway.yaml", &config)]);
    // As of a ConfigMap: nobody makes anything in it.
    std::fs::set_permissions(mounted, PermissionsExt::from_mode(0o555)).unwrap();
    files
}

#[test]
fn the_configuration_of_each_set_is_good() {
    for set in sets() {
        let files = workspace(&set, &[]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_wicketgate"));
        command.args(["check", "--config"]).arg(files.path.join("config/gateway.yaml"));
        let output = finish(command.env("CREDENTIALS_DIRECTORY", files.path.join("secrets"))).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_gateway_starts_on_what_is_mounted_and_answers_the_probes() {
    let redis = RedisServer::start();
    for (number, set) in sets().iter().enumerate() {
        let url = format!("url: {}", redis.url());
        let mut changes = vec![];
        if number == 1 {
            changes.push(("url: rediss://redis.example.com:6379", url.as_str()));
            changes.push(("    password: { credential: redis-password }\n", ""));
        }
        changes.push(("https://legacy.example.com", "http://127.0.0.1:9"));
        let files = std::sync::Arc::new(workspace(set, &changes));
        std::fs::copy(files.path.join("config/gateway.yaml"), files.path.join("gateway.yaml")).unwrap();
        let secrets = [("CREDENTIALS_DIRECTORY", files.path.join("secrets"))];
        let mut gateway = Gateway::start_with(files, keys::TokenKey::generate(), &secrets);
        gateway.is_ready();
        let container = &of_kind(set, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let path = container[probe]["httpGet"]["path"].as_str().unwrap();
            assert_eq!(gateway.admin(path).status, 200, "{probe}");
        }
        gateway.login_request(ALICE.name, ALICE.secret).send().ok();
        gateway.signal("KILL");
        gateway.wait_exit();
    }
}

/// What the table says is shown by a test is named as the test is, or is said not to be tried.
#[test]
fn each_statement_of_the_page_names_its_test_or_says_that_it_is_not_tried() {
    let rows = PAGE.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| topic"));
    let mut count = 0;
    for row in rows {
        let shown = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let tests = cited_tests(shown);
        let missing = missing_tests(&tests);
        assert!(missing.is_empty(), "{missing:?}: {row}");
        assert!(!tests.is_empty() || shown.contains("*not tried here*") || shown.contains("in the test"), "{row}");
        count += 1;
    }
    assert!(count > 10);
}
