use super::*;

fn client(since: u64, until: u64) -> Rule {
    Rule::new(Subject::Client("asapp".into()), since, until)
}

fn at(at: u64) -> Option<Issued> {
    Some(Issued { at, number: None })
}

#[test]
fn the_strictest_of_several_rules_holds_in_any_order() {
    for order in [[100, 300, 200], [300, 200, 100], [200, 100, 300]] {
        let rules = Revocations::default();
        for since in order {
            rules.apply(client(since, since + 1_000));
        }
        let asapp = Subject::Client("asapp".into());
        assert!(rules.covers(&asapp, at(300)) && !rules.covers(&asapp, at(301)));
        assert!(rules.covers(&asapp, None));
        assert!(rules.sweep(1_299).is_empty());
        assert_eq!(rules.sweep(1_300).len(), 1);
        assert!(rules.is_empty());
    }
}

#[test]
fn the_generation_grows_with_every_stricter_rule_only() {
    let rules = Revocations::default();
    let first = rules.generation();
    assert!(rules.apply(client(100, 1_000)));
    let second = rules.generation();
    assert_ne!(first, second);
    assert!(!rules.apply(client(50, 900)));
    assert_eq!(rules.generation(), second);
}

#[test]
fn two_rules_as_one_are_as_strict_as_either() {
    let of = |since, until, number| Rule { number, ..client(since, until) };
    let merged = |one: Rule, other: Rule| {
        let both = one.clone().strictest(other.clone());
        assert_eq!(both, other.strictest(one));
        (both.since, both.until, both.number)
    };
    assert_eq!(merged(of(100, 900, Some(7)), of(200, 800, Some(5))), (200, 900, Some(7)));
    assert_eq!(merged(of(100, 900, None), of(200, 800, None)), (200, 900, None));
    // A number must not make good what goes by the clock.
    assert_eq!(merged(of(100, 900, None), of(50, 800, Some(60_000_000))), (100, 900, Some(101_000_000)));
    assert_eq!(merged(of(u64::MAX, 900, None), of(50, 800, Some(5))), (u64::MAX, 900, Some(5)));
}

#[test]
fn a_rule_is_about_its_subject_only() {
    let rules = Revocations::default();
    rules.apply(Rule::forever(Subject::Token("asapp".into()), 1_000));
    assert!(!rules.covers(&Subject::Client("asapp".into()), at(1)));
    assert!(rules.covers(&Subject::Token("asapp".into()), at(u64::MAX)));
    assert!(!rules.covers_api_key(&[1; 32]));
    rules.apply(Rule::forever(Subject::ApiKey("01".repeat(32).into()), u64::MAX));
    assert!(rules.covers_api_key(&[1; 32]) && !rules.covers_api_key(&[2; 32]));
}

#[test]
fn a_rule_for_one_audience_of_a_customer_is_about_that_one_only() {
    let rules = Revocations::default();
    let (one, other) = (Subject::customer_for("t1-x", "one"), Subject::customer_for("t1-x", "other"));
    rules.apply(Rule::new(one.clone(), 100, 1_000));
    assert!(rules.covers(&one, at(100)) && !rules.covers(&one, at(101)));
    assert!(!rules.covers(&other, at(100)) && !rules.covers(&Subject::Customer("t1-x".into()), at(100)));
}

#[test]
fn however_many_rules_one_second_has_each_covers_what_was_issued_before_it_and_nothing_after() {
    let (rules, asapp) = (Revocations::default(), Subject::Client("asapp".into()));
    // The clock of whoever issues is behind, ahead, or right.
    for at in [100, 80, 120, 100, 100, 80, 120, 100] {
        let issued = Some(Issued { at, number: Some(rules.seen()) });
        assert!(!rules.covers(&asapp, issued));
        rules.apply(rules.until_now(asapp.clone(), 100, 1_000));
        assert!(rules.covers(&asapp, issued), "{at}");
    }
    assert_eq!(rules.rule(&asapp).map(|rule| rule.since), Some(100), "for what says no number");
    assert!(rules.covers(&asapp, at(100)) && !rules.covers(&asapp, at(101)));
    rules.apply(Rule::forever(asapp.clone(), 1_000));
    assert!(rules.covers(&asapp, Some(Issued { at: 200, number: Some(rules.seen()) })));
}

#[test]
fn a_rule_by_time_reaches_as_far_ahead_as_a_credential_without_a_number_was_dated() {
    let (rules, asapp) = (Revocations::default(), Subject::Client("asapp".into()));
    let since = || rules.until_now(asapp.clone(), 100, 1_000).since;
    rules.note(None, 100);
    rules.note(at(90), 100);
    rules.note(Some(Issued { at: 120, number: Some(1) }), 100);
    assert_eq!(since(), 100);
    rules.note(at(120), 100);
    rules.note(at(105), 100);
    assert_eq!(since(), 120);
    rules.note(at(u64::MAX), 100);
    assert_eq!(since(), 400, "no further than any clock may be off");
    // Numbers go by no clock.
    let before = Some(Issued { at: 90, number: Some(rules.seen()) });
    rules.apply(rules.until_now(asapp.clone(), 100, 1_000));
    let after = Some(Issued { at: 100, number: Some(rules.seen()) });
    assert!(rules.covers(&asapp, before) && !rules.covers(&asapp, after));
    assert!(rules.covers(&asapp, at(400)) && !rules.covers(&asapp, at(401)));
}

#[test]
fn what_a_number_has_covered_stays_covered_while_a_stricter_rule_waits_for_its_own() {
    let (rules, asapp) = (Revocations::shared(), Subject::Client("asapp".into()));
    rules.apply(Rule { number: Some(50), ..client(100, 1_000) });
    let issued = |at, number| Some(Issued { at, number: Some(number) });
    assert!(rules.covers(&asapp, issued(120, 49)) && !rules.covers(&asapp, issued(80, 50)));
    rules.apply(client(110, 2_000));
    assert!(rules.covers(&asapp, issued(120, 49)), "its replica is ahead");
    assert!(rules.covers(&asapp, issued(110, 50)) && !rules.covers(&asapp, issued(111, 50)), "by time till then");
    rules.apply(Rule { number: Some(60), ..client(110, 2_000) });
    assert!(rules.covers(&asapp, issued(130, 59)) && !rules.covers(&asapp, issued(90, 60)));
    assert_eq!((rules.seen(), rules.number()), (60, 0));
}

#[test]
fn a_rule_about_everything_is_about_what_was_issued_until_then_and_about_no_api_key() {
    let rules = Revocations::default();
    let (client, key) = (Subject::Client("asapp".into()), Subject::ApiKey("01".into()));
    rules.restore(Rule::new(Subject::All, 100, 1_000));
    for subject in [&client, &Subject::Token("t".into()), &Subject::Login("l".into()), &Subject::Customer("c".into())] {
        assert!(rules.covers(subject, at(100)) && rules.covers(subject, None), "{subject:?}");
        assert!(rules.covers(subject, Some(Issued { at: 100, number: Some(7) })), "{subject:?}");
        assert!(!rules.covers(subject, at(101)), "{subject:?}");
    }
    assert!(!rules.covers(&key, None));
    assert_eq!(rules.sweep(1_000).len(), 1);
    assert!(!rules.covers(&client, at(100)));
}

#[test]
fn rules_survive_their_text() {
    for subject in ["token", "login", "customer", "client", "api_key", "all"] {
        let rule = Rule::new(Subject::new(subject, "a b c").unwrap(), 5, u64::MAX);
        assert_eq!(Rule::parse(&rule.to_string()), Some(rule));
    }
    assert_eq!(Rule::parse("token 5"), None);
    assert_eq!(Rule::parse("other 5 5 x"), None);
}

#[test]
fn numbers_of_this_process_grow_with_every_stricter_rule_and_after_those_that_it_found() {
    let rules = Revocations::default();
    let later = rules.next(0) + 3_600_000_000;
    rules.apply(Rule { number: Some(later), ..client(100, 1_000) });
    assert_eq!(rules.number(), later);
    rules.apply(client(50, 500));
    assert_eq!(rules.number(), later, "nothing became stricter");
    rules.apply(client(200, 1_000));
    let number = rules.rule(&client(0, 0).subject).unwrap().number;
    assert_eq!((number, rules.number()), (Some(later + 1), later + 1));
}

#[test]
fn a_rule_of_a_shared_store_has_the_number_under_which_the_store_has_it_as_it_is() {
    let rules = Revocations::shared();
    let number = || rules.rule(&client(0, 0).subject).unwrap().number;
    rules.apply(client(100, 1_000));
    assert_eq!((number(), rules.number(), rules.count_until(u64::MAX)), (None, 0, 0));
    assert_eq!(rules.between(0, 0, 10), [client(100, 1_000)]);
    rules.apply(Rule { number: Some(7), ..client(100, 1_000) });
    assert_eq!((number(), rules.count_until(6), rules.count_until(7)), (Some(7), 0, 1));
    // The store has a weaker one: it does not have what is in force here.
    rules.apply(client(300, 1_000));
    rules.apply(Rule { number: Some(8), ..client(200, 2_000) });
    assert_eq!((number(), rules.between(0, 0, 10)), (None, vec![client(300, 2_000)]));
    rules.apply(Rule { number: Some(9), ..client(300, 2_000) });
    assert_eq!((rules.numbers(0, 100, 10), rules.numbers(9, 100, 10)), (vec![9], vec![]));
    assert_eq!(rules.sweep(2_000).len(), 1);
    assert_eq!(rules.count_until(u64::MAX), 0);
}
