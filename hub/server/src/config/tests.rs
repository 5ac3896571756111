//! What a user of the configuration relies on: defaults, layers, suggestions, all faults at once.

use std::path::PathBuf;

use super::*;

fn load(text: &str) -> Result<Loaded, Faults> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("crossdock.toml");
    std::fs::write(&file, text).unwrap();
    Sources {
        file: Some(file),
        ..Sources::default()
    }
    .load()
}

fn faults(text: &str) -> Vec<Fault> {
    match load(text).and_then(Loaded::validate) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.0,
    }
}

fn refused(text: &str) -> Vec<String> {
    faults(text).into_iter().map(|fault| fault.key).collect()
}

#[test]
fn no_configuration_at_all_is_valid() {
    let checked = Sources::default().load().unwrap().validate().unwrap();
    assert_eq!(checked.nameserver, Some("127.0.0.1:9876".parse().unwrap()));
    assert_eq!(checked.remoting, Some("127.0.0.1:10911".parse().unwrap()));
    assert_eq!(
        checked.remoting_fast,
        Some("127.0.0.1:10909".parse().unwrap())
    );
    assert_eq!(checked.grpc, Some("127.0.0.1:8081".parse().unwrap()));
    assert_eq!(checked.advertise, None);
    assert!(!checked.node_name.is_empty() && checked.worker_threads > 0);
}

#[test]
fn the_default_file_lists_every_key_and_parses_to_the_defaults() {
    let text = default_file();
    assert_eq!(load(&text).unwrap().config, Config::default());
    // With every key live it is still what the defaults are, and every key was read.
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(code) if !code.starts_with(' ') => format!("{code}\n"),
        _ => format!("{line}\n"),
    };
    let mut loaded = load(&text.lines().map(uncomment).collect::<String>()).unwrap();
    let paths = Config::default().paths();
    let missing: Vec<_> = paths
        .iter()
        .filter(|path| !loaded.origins.contains_key(*path))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    let example = std::mem::take(&mut loaded.config.auth.users);
    assert_eq!(example.0, [User::default()]);
    assert_eq!(loaded.config, Config::default());
    for key in User::default().keys() {
        assert!(
            text.contains(&format!("\n#{} = ", key.name)),
            "{}",
            key.name
        );
    }
}

#[test]
fn what_is_shown_can_be_read_back() {
    let shown = show(
        &load("[store]\ndurability = \"written\"\ndisk_max = \"1.5GiB\"").unwrap(),
        true,
    );
    let again = load(&shown).unwrap().config;
    assert_eq!(again.store.durability, Durability::Written);
    assert_eq!(again.store.disk_max, Size::mib(1536));
    assert!(shown.contains("crossdock.toml:2:1") && shown.contains("# default"));
}

#[test]
fn every_fault_of_a_file_is_reported_with_its_place_and_a_suggestion() {
    let text =
        "[retention]\ntiem = \"72h\"\nsize = 5\n\n[stor]\nx = 1\n[listen.remoting]\nport = 70000\n";
    let faults = faults(text);
    let seen: Vec<_> = faults
        .iter()
        .map(|fault| match &fault.origin {
            Origin::File(place) => (fault.key.as_str(), place.line, place.column),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("retention.tiem", 2, 1),
            ("retention.size", 3, 8),
            ("stor", 5, 2),
            ("listen.remoting.port", 8, 8)
        ]
    );
    assert_eq!(faults[0].hint.as_deref(), Some("did you mean `time`?"));
    assert_eq!(faults[2].hint.as_deref(), Some("did you mean `store`?"));
    assert_eq!(
        faults[1].message,
        "expected a size with a unit such as \"64MiB\", got 5"
    );
    let report = Faults(faults).to_string();
    assert!(
        report.starts_with("invalid configuration (4 problems)\n 1. "),
        "{report}"
    );
    assert!(
        report.contains("   2 | tiem = \"72h\"\n         | ^^^^  did you mean"),
        "{report}"
    );
}

#[test]
fn a_key_in_the_wrong_table_is_pointed_to_its_own() {
    let faults = faults("durability = \"written\"\n");
    assert_eq!(
        faults[0].hint.as_deref(),
        Some("did you mean `store.durability`?")
    );
}

#[test]
fn broken_toml_is_a_fault_with_a_place() {
    let faults = faults("[node]\nname = \n[listen]\nbind = \"nowhere\"\n");
    assert!(faults.len() >= 2, "{faults:?}");
    assert!(matches!(&faults[0].origin, Origin::File(place) if place.line == 2));
}

#[test]
fn environment_beats_file_and_flags_beat_both() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(
        &file,
        "[node]\nname = \"file\"\ncluster = \"file\"\ndata_dir = \"file\"\n",
    )
    .unwrap();
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let sources = Sources {
        file: Some(file),
        usual: Vec::new(),
        environment: vec![
            variable("CROSSDOCK_NODE__CLUSTER", "env"),
            variable("CROSSDOCK_NODE__DATA_DIR", "env"),
            variable("CROSSDOCK_LISTEN__REMOTING__PORT", "7"),
            variable("CROSSDOCK_PORT_9876_TCP", "tcp://10.0.0.1:9876"),
        ],
        overrides: vec![Override {
            key: "node.data_dir".to_owned(),
            value: "flag".to_owned(),
            flag: "--data".to_owned(),
        }],
    };
    let loaded = sources.load().unwrap();
    let node = &loaded.config.node;
    assert_eq!((node.name.as_str(), node.cluster.as_str()), ("file", "env"));
    assert_eq!(node.data_dir, PathBuf::from("flag"));
    assert_eq!(loaded.config.remoting.port, 7);
    assert_eq!(loaded.origin("node.data_dir").to_string(), "flag --data");
    assert_eq!(
        loaded.origin("node.cluster").to_string(),
        "environment CROSSDOCK_NODE__CLUSTER"
    );
    assert_eq!(loaded.origin("store.durability"), Origin::Default);
}

#[test]
fn faults_of_environment_and_flags_name_them() {
    let sources = Sources {
        environment: vec![(
            "CROSSDOCK_STORE__DURABLITY".to_owned(),
            "written".to_owned(),
        )],
        overrides: vec![Override {
            key: "log.format".to_owned(),
            value: "xml".to_owned(),
            flag: "--set".to_owned(),
        }],
        ..Sources::default()
    };
    let report = sources.load().unwrap_err().to_string();
    assert!(
        report.contains("environment CROSSDOCK_STORE__DURABLITY"),
        "{report}"
    );
    assert!(report.contains("did you mean `durability`?"), "{report}");
    assert!(
        report.contains("flag --set  log.format: expected \"text\" or \"json\""),
        "{report}"
    );
}

#[test]
fn an_open_address_needs_a_user_or_a_word_from_the_operator() {
    let open = "[listen]\nbind = \"0.0.0.0\"\n";
    assert_eq!(refused(open), ["listen.bind"]);
    assert!(faults(&format!("{open}[auth]\nallow_insecure = true\n")).is_empty());
    let user = "[[auth.users]]\nname = \"ann\"\npassword = \"s3cret\"\n";
    assert!(faults(&format!("{open}{user}")).is_empty());
}

#[test]
fn users_are_resolved_with_their_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "from file\n").unwrap();
    let text = format!(
        "[[auth.users]]\nname = \"ann\"\npassword_file = {}\nadmin = true\n\
         [[auth.users]]\nname = \"bob\"\naccess_key = \"AK\"\nsecret_key = \"SK\"\n",
        toml::Value::from(file.to_str().unwrap())
    );
    let loaded = load(&text).unwrap();
    let shown = show(&loaded, false);
    assert!(
        !shown.contains("\"SK\"") && shown.contains("secret_key = \"••••••\""),
        "{shown}"
    );
    let users = loaded.validate().unwrap().users;
    assert_eq!(users[0].password.as_ref().unwrap().reveal(), "from file");
    assert!(users[0].is_admin && users[0].access.is_none());
    assert_eq!(users[1].access.as_ref().unwrap().secret.reveal(), "SK");
    assert!(!format!("{users:?}").contains("SK"));
}

#[test]
fn registrations_are_signed_with_a_whole_key_or_not_at_all() {
    let register = |rest: &str| format!("[register]\nnameservers = [\"ns:9876\"]\n{rest}");
    let checked = |text: &str| load(text).unwrap().validate().unwrap();
    assert_eq!(checked(&register("")).register_as, None);
    let text = register("access_key = \"AK\"\nsecret_key = \"SK\"\n");
    let access = checked(&text).register_as.unwrap();
    assert_eq!((access.key.as_str(), access.secret.reveal()), ("AK", "SK"));
    assert!(!show(&load(&text).unwrap(), false).contains("\"SK\""));
    for half in ["access_key = \"AK\"\n", "secret_key = \"SK\"\n"] {
        assert_eq!(refused(&register(half)), ["register.access_key"]);
    }
    let missing = register("access_key = \"AK\"\nsecret_key_file = \"/nowhere/at/all\"\n");
    assert_eq!(refused(&missing), ["register.secret_key_file"]);
    let useless = "[register]\naccess_key = \"AK\"\nsecret_key = \"SK\"\n";
    assert_eq!(refused(useless), ["register.access_key"]);
}

#[test]
fn incomplete_users_are_refused_without_showing_their_secrets() {
    let text = "[[auth.users]]\nname = \"ann\"\n\
                [[auth.users]]\nname = \"ann\"\npassword = \"p\"\naccess_key = \"AK\"\n\
                [[auth.users]]\nname = \"cid\"\npassword = \"p\"\npassword_file = \"/x\"\n";
    let keys = ["[0].password", "[1].name", "[1].access_key", "[2].password"];
    assert_eq!(refused(text), keys.map(|key| format!("auth.users{key}")));
    let text = "[[auth.users]]\nname = \"ann\"\npassword = [\"hunter2\"]\npaswd = \"hunter2\"\n";
    let report = load(text).unwrap_err();
    assert_eq!(report.0.len(), 2);
    let report = report.to_string();
    assert!(
        report.contains("auth.users[0].paswd") && report.contains("`password`"),
        "{report}"
    );
}

#[test]
fn settings_are_judged_against_each_other() {
    assert_eq!(refused("[listen]\nport_offset = 60000\n").len(), 4);
    assert_eq!(
        refused("[listen.remoting]\nport = 9876\n"),
        ["listen.remoting.port"]
    );
    assert_eq!(
        refused("[store]\ndisk_clean_at = \"95%\"\n"),
        ["store.disk_clean_at"]
    );
    assert_eq!(
        refused("[topics]\ndefault_queues = 2000\n"),
        ["topics.default_queues"]
    );
    assert_eq!(
        refused("[tls]\ncert = \"/nowhere/cert.pem\"\n"),
        ["tls.cert", "tls.cert"]
    );
    assert_eq!(refused("[limits]\nmessage_size = \"20MiB\"\n").len(), 3);
    assert_eq!(
        refused("[node]\nname = \"a b\"\nadvertise = \"host:1\"\n").len(),
        2
    );
    assert_eq!(refused("[log]\nlevel = \"loud,=\"\n"), ["log.level"]);
    assert_eq!(
        refused("[store]\nflush_interval = \"0\"\n"),
        ["store.flush_interval"]
    );
    let two = refused("[listen.nameserver]\nport = 0\n[listen.remoting]\nport = 0\n");
    assert!(two.is_empty(), "{two:?}");
}
