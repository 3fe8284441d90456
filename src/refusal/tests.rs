//! Tests of the closed set and of the places that name its words.

use super::*;

#[test]
fn every_refusal_has_a_word_of_its_own_by_which_it_is_found() {
    let mut words: Vec<&str> = Refusal::ALL.iter().map(|refusal| refusal.as_str()).collect();
    assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Refusal::ALL.len());
    assert!(Refusal::ALL.iter().all(|refusal| Refusal::from_word(refusal.as_str()) == Some(*refusal)));
    assert_eq!(Refusal::from_word("no_such_word"), None);
}

#[test]
fn a_fault_that_a_kind_of_token_cannot_have_is_a_fault_of_the_gateway() {
    let impossible = Refusal::SecurityEvent(TokenFault::Account);
    assert_eq!((impossible.as_str(), impossible.in_set()), ("internal", Refusal::Internal));
    assert!(Refusal::ALL.iter().all(|refusal| refusal.in_set() == *refusal));
}

#[test]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
fn the_alert_about_guesses_at_logins_counts_each_refusal_of_a_name_or_password_and_no_outage() {
    let alerts = include_str!("../../deploy/prometheus/alerts.yml");
    let (_, guessing) = alerts.split_once("alert: WicketgateLoginGuessing").unwrap();
    let (_, pattern) = guessing.split_once("outcome=~\"").unwrap();
    let (pattern, _) = pattern.split_once('"').unwrap();
    let guesses = regex::Regex::new(&format!("^(?:{pattern})$")).unwrap();
    use Refusal as R;
    for refusal in Refusal::ALL {
        let is_guess = matches!(*refusal, R::LoginUnknownUser | R::LoginWrongPassword | R::LoginRate | R::LoginLocked);
        assert_eq!(guesses.is_match(refusal.as_str()), is_guess, "{}", refusal.as_str());
    }
}

#[test]
fn the_documentation_has_present_words_for_those_that_were_renamed() {
    let text = include_str!("../../docs/operations.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| refusal | "))
        .map(|row| row.split(['`', '|', ' ']).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert!(!rows.is_empty());
    let is_present = |word: &str| Refusal::from_word(word).is_some();
    for row in rows {
        assert!(row.len() == 2 && !is_present(row[0]) && is_present(row[1]), "{row:?}");
    }
}
