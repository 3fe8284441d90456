#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::HashSet;

use super::*;
use proptest::prelude::*;

const KEY: &str = "v1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-Pw";
const ISSUER: &str = "https://api.example.com";

fn key(text: &str) -> IdentifierKey {
    IdentifierKey::parse(&Secret::new(text)).unwrap()
}

fn deriver(mode: Mode) -> Deriver {
    Deriver::new(key(KEY), mode)
}

fn both() -> [Deriver; 2] {
    [deriver(Mode::Traceable), deriver(Mode::OneWay)]
}

/// Both were computed by another implementation too (Python's hmac and OpenSSL's AES-SIV). If this fails, the change under test gives every customer of every installation a new identifier. Undo the change.
#[test]
fn the_derivation_never_changes() {
    let traceable = deriver(Mode::Traceable).derive(ISSUER, "customer-4711").unwrap();
    assert_eq!(
        traceable.as_str(),
        "t1-kqTpVjqAd-S8YlklQtD0TGs7bhts0qgyAxKSHZ1SwAj8tUabdH5EFtNKnKoJwoiDxy6SjvwCNM4yfHisiUl8_d_8xwshK95ScUUXa6qje_A"
    );
    let one_way = deriver(Mode::OneWay).derive(ISSUER, "customer-4711").unwrap();
    assert_eq!(one_way.as_str(), "o1-qq2x9cnwgJ_YnUhNR-GfQjXn8PIJWfxB");
}

#[test]
fn a_key_file_read_again_gives_the_same_identifiers() {
    let text = IdentifierKey::generate();
    for mode in [Mode::Traceable, Mode::OneWay] {
        let before = Deriver::new(key(&text), mode).derive(ISSUER, "alice").unwrap();
        let after = Deriver::new(key(&format!("{}\n", &*text)), mode).derive(ISSUER, "alice").unwrap();
        assert_eq!(before, after);
    }
}

#[test]
fn two_keys_give_different_identifiers_and_refuse_each_others() {
    let other = IdentifierKey::generate();
    for mode in [Mode::Traceable, Mode::OneWay] {
        let ours = deriver(mode).derive(ISSUER, "alice").unwrap();
        let theirs = Deriver::new(key(&other), mode).derive(ISSUER, "alice").unwrap();
        assert_ne!(ours, theirs);
    }
    let theirs = Deriver::new(key(&other), Mode::Traceable).derive(ISSUER, "alice").unwrap();
    assert_eq!(deriver(Mode::Traceable).trace(theirs.as_str()), Err(TraceFault::Forged));
    assert_eq!(deriver(Mode::Traceable).accept(theirs.as_str(), 0), Err(TraceFault::Forged));
}

#[test]
fn the_version_of_the_key_stands_in_the_identifier() {
    let twelve = key(&KEY.replacen("v1", "v12", 1));
    let derived = Deriver::new(twelve, Mode::Traceable).derive(ISSUER, "alice").unwrap();
    assert!(derived.as_str().starts_with("t12-"));
    assert_eq!(deriver(Mode::Traceable).trace(derived.as_str()), Err(TraceFault::Version));
    // The version is authenticated: the same bytes under another version are not the same identifier.
    let moved = derived.as_str().replacen("t12-", "t1-", 1);
    assert_eq!(deriver(Mode::Traceable).trace(&moved), Err(TraceFault::Forged));
}

#[test]
fn a_hundred_thousand_subjects_share_no_identifier() {
    for deriver in both() {
        let count = 100_000;
        let seen: HashSet<_> = (0..count).map(|number| deriver.derive(ISSUER, &number.to_string()).unwrap()).collect();
        assert_eq!(seen.len(), count);
    }
}

#[test]
fn an_identifier_tells_nothing_of_its_subject() {
    for deriver in both() {
        let alice = deriver.derive(ISSUER, "alice@example.com").unwrap();
        let bytes = BASE64.decode(alice.as_str().split_once('-').unwrap().1).unwrap();
        for needle in [&b"alice"[..], b"example"] {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle));
        }
        let longer = deriver.derive(ISSUER, "alicia@example.com").unwrap();
        assert_eq!(alice.as_str().len(), longer.as_str().len(), "lengths come in steps");
        let same = alice.as_str().bytes().zip(longer.as_str().bytes()).skip(3).filter(|(a, b)| a == b).count();
        assert!(same < 16, "no common part: {same} of {}", alice.as_str().len());
    }
}

#[test]
fn subjects_are_compared_byte_for_byte() {
    for deriver in both() {
        let spellings = ["alice", "Alice", "alice ", " alice", "\u{e9}", "e\u{301}", "a@b", "a@b@c", "\u{ff41}"];
        let seen: HashSet<_> = spellings.iter().map(|subject| deriver.derive(ISSUER, subject).unwrap()).collect();
        assert_eq!(seen.len(), spellings.len());
    }
}

#[test]
fn what_cannot_be_a_subject_is_refused() {
    for deriver in both() {
        let derive = |subject: &str| deriver.derive(ISSUER, subject);
        assert_eq!(derive(""), Err(SubjectFault::Empty));
        assert!(derive(&"x".repeat(256)).is_ok());
        assert_eq!(derive(&"x".repeat(257)), Err(SubjectFault::TooLong));
        assert_eq!(derive(&"x".repeat(1 << 20)), Err(SubjectFault::TooLong));
        for control in ["a\r\nb", "a\0", "\u{7f}", "\u{85}", "\t"] {
            assert_eq!(derive(control), Err(SubjectFault::ControlCharacter), "{control:?}");
        }
        assert_eq!(deriver.derive("", "alice"), Err(SubjectFault::Issuer));
        assert_eq!(deriver.derive(&"i".repeat(513), "alice"), Err(SubjectFault::Issuer));
    }
}

#[test]
fn the_longest_identifier_is_as_long_as_said() {
    let deriver = Deriver::new(key(&KEY.replacen("v1", "v99", 1)), Mode::Traceable);
    let derived = deriver.derive(&"i".repeat(512), &"s".repeat(256)).unwrap();
    assert_eq!(derived.as_str().len(), LONGEST_IDENTIFIER);
    assert!(deriver.accept(derived.as_str(), 0).is_ok());
}

#[test]
fn every_changed_character_of_a_traceable_identifier_is_refused() {
    let deriver = deriver(Mode::Traceable);
    let derived = deriver.derive(ISSUER, "alice").unwrap();
    let text = derived.as_str();
    assert_eq!(deriver.accept(text, 0).as_ref(), Ok(&derived));
    for at in 0..text.len() {
        let mut changed = text.as_bytes().to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(deriver.trace(&changed).is_err(), "character {at}");
        assert!(deriver.accept(&changed, 0).is_err(), "character {at}");
    }
    for cut in 0..text.len() {
        assert!(deriver.accept(&text[..cut], 0).is_err(), "cut at {cut}");
    }
    assert!(deriver.accept(&format!("{text}AAAA"), 0).is_err());
}

#[test]
fn a_pair_has_one_encoding() {
    let pair = encode_pair(ISSUER, "alice").unwrap().to_vec();
    assert_eq!(decode_pair(&pair).unwrap().subject, "alice");
    let mut filled = pair.clone();
    *filled.last_mut().unwrap() = 1;
    let longer = [&pair[..], &[0; BLOCK]].concat();
    for bytes in [&filled[..], &longer, &pair[..pair.len() - 1], &[0; BLOCK], &[0xff; BLOCK], &[]] {
        assert_eq!(decode_pair(bytes), None, "{bytes:?}");
    }
}

#[test]
fn a_one_way_identifier_has_no_way_back_and_a_fixed_form() {
    let deriver = deriver(Mode::OneWay);
    let derived = deriver.derive(ISSUER, "alice").unwrap();
    let text = derived.as_str();
    assert_eq!(deriver.trace(text), Err(TraceFault::OneWay));
    assert_eq!(deriver.accept(text, 0).as_ref(), Ok(&derived));
    let changed = [
        text[..text.len() - 1].to_owned(),
        format!("{text}A"),
        text.replacen("o1-", "o2-", 1),
        text.replacen("o1-", "t1-", 1),
        format!("{text}="),
        format!(" {text}"),
        String::new(),
        "alice".to_owned(),
    ];
    for changed in changed {
        assert!(deriver.accept(&changed, 0).is_err(), "{changed}");
    }
}

#[test]
fn the_fault_says_what_does_not_fit() {
    let (traceable, one_way) = (deriver(Mode::Traceable), deriver(Mode::OneWay));
    let other_mode = one_way.derive(ISSUER, "alice").unwrap();
    assert_eq!(traceable.trace(other_mode.as_str()), Err(TraceFault::Mode));
    for text in ["", "-", "t-x", "t0-x", "t01-x", "t100-x", "x1-x", "4711", "t1-%", "t1-", "t1-AAAA"] {
        assert_eq!(traceable.trace(text), Err(TraceFault::Form), "{text:?}");
    }
}

#[test]
fn a_key_file_that_is_none_says_what_to_do() {
    let body = &KEY[3..];
    let faults = [
        (String::new(), KeyFault::Form),
        ("secret".into(), KeyFault::Form),
        (body.into(), KeyFault::Form),
        (format!("v0:{body}"), KeyFault::Version),
        (format!("v100:{body}"), KeyFault::Version),
        (format!("v+1:{body}"), KeyFault::Version),
        (format!("v:{body}"), KeyFault::Version),
        (format!("v1:{}", &body[..43]), KeyFault::Length),
        (format!("v1:{body}AA"), KeyFault::Length),
        (format!("v1:{body}="), KeyFault::Form),
        (format!("v1: {body}"), KeyFault::Form),
    ];
    for (text, fault) in faults {
        assert_eq!(IdentifierKey::parse(&Secret::new(text.as_str())).unwrap_err(), fault, "{text}");
        assert!(fault.to_string().contains("wicketgate new identifier-key"));
    }
    assert_eq!(IdentifierKey::parse(&Secret::new(vec![0xff])).unwrap_err(), KeyFault::Form);
}

#[test]
fn a_key_does_not_print() {
    assert_eq!(format!("{:?}", key(KEY)), "IdentifierKey(v1, ..)");
    assert_eq!(format!("{:?}", deriver(Mode::Traceable)), "Deriver(t1-..)");
}

fn text(longest: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(
        any::<char>().prop_filter("no control characters", |character| !character.is_control()),
        1..longest,
    )
    .prop_map(|characters| characters.into_iter().collect())
}

proptest! {
    #[test]
    fn trace_gives_back_what_was_derived(issuer in text(40), subject in text(40)) {
        for deriver in both() {
            let derived = deriver.derive(&issuer, &subject).unwrap();
            prop_assert!(derived.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            prop_assert_eq!(deriver.accept(derived.as_str(), 0).unwrap(), derived.clone());
            if deriver.mode() == Mode::Traceable {
                let origin = TracedCustomer { issuer: issuer.clone(), subject: subject.clone() };
                prop_assert_eq!(deriver.trace(derived.as_str()), Ok(origin));
            }
        }
    }

    #[test]
    fn no_two_pairs_collide(whole in text(30), cut in 1_usize..29, other in 1_usize..29) {
        // The same characters, split in two at different places, are different customers.
        let splits: Vec<_> = whole.char_indices().map(|(at, _)| at).skip(1).collect();
        prop_assume!(splits.len() > 1);
        let (one, two) = (splits[cut % splits.len()], splits[other % splits.len()]);
        prop_assume!(one != two);
        for deriver in both() {
            prop_assert_ne!(
                deriver.derive(&whole[..one], &whole[one..]).unwrap(),
                deriver.derive(&whole[..two], &whole[two..]).unwrap()
            );
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        for deriver in both() {
            prop_assert!(deriver.accept(&text, 0).is_err());
            prop_assert!(deriver.trace(&text).is_err());
        }
    }
}

#[test]
fn a_rotated_key_gives_new_identifiers_and_knows_the_old_ones_until_its_end() {
    let old = IdentifierKey::parse(&Secret::new(KEY)).unwrap();
    let next = old.next().unwrap();
    assert!(next.starts_with("v2:"));
    let before = deriver(Mode::Traceable);
    let after = Deriver::new(key(&next), Mode::Traceable).after(key(KEY), 1_000);
    let (one, two) = (before.derive(ISSUER, "alice").unwrap(), after.derive(ISSUER, "alice").unwrap());
    assert!(one.as_str().starts_with("t1-") && two.as_str().starts_with("t2-"));
    assert_eq!(after.previous_of(&two, 999), Some(one.clone()));
    assert_eq!(after.derive_previous(ISSUER, "alice", 999), Some(one.clone()));
    assert_eq!(after.accept(one.as_str(), 999), Ok(two.clone()), "tokens from before name the same customer");
    assert_eq!(after.names(&two, 999), [two.clone(), one.clone()]);
    assert_eq!(after.previous_of(&two, 1_000), None);
    assert_eq!(after.accept(one.as_str(), 1_000), Err(TraceFault::Version));
    assert_eq!(after.trace(one.as_str()).unwrap().subject, "alice", "an operator can trace it for ever");
    let versions: Vec<_> = after.versions().map(|(number, until, _)| (number, until)).collect();
    assert_eq!(versions, [(2, u64::MAX), (1, 1_000)]);
    let one_way = Deriver::new(key(&next), Mode::OneWay).after(key(KEY), 1_000);
    let known = deriver(Mode::OneWay).derive(ISSUER, "alice").unwrap();
    assert_eq!(one_way.accept(known.as_str(), 999), Ok(known.clone()));
    assert_eq!(one_way.previous_of(&one_way.derive(ISSUER, "alice").unwrap(), 1), None);
}

#[test]
fn backends_with_identifiers_of_their_own_cannot_compare_them() {
    for mode in [Mode::Traceable, Mode::OneWay] {
        let all = deriver(mode);
        let (red, blue) = (all.pairwise("red"), all.pairwise("blue"));
        let alice = all.derive(ISSUER, "alice").unwrap();
        let bob = all.derive(ISSUER, "bob").unwrap();
        let (in_red, in_blue) = (red.for_backend(&all, &alice).unwrap(), blue.for_backend(&all, &alice).unwrap());
        assert_eq!(in_red, all.pairwise("red").for_backend(&all, &alice).unwrap());
        let names =
            [&alice, &in_red, &in_blue, &red.for_backend(&all, &bob).unwrap()].map(|name| name.as_str().to_owned());
        assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), 4);
        if mode == Mode::Traceable {
            assert_eq!(red.trace(in_red.as_str()).unwrap().subject, "alice");
            assert_eq!(blue.trace(in_red.as_str()), Err(TraceFault::Forged));
            assert_eq!(all.trace(in_red.as_str()), Err(TraceFault::Forged));
        }
    }
}
