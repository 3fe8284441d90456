use super::*;
use proptest::prelude::*;

/// The normal form, where nothing is odd.
fn plain(path: &str) -> Option<String> {
    normal(path).ok().filter(|normal| normal.non_canonical.is_none()).map(|normal| normal.text.into_owned())
}

#[test]
fn plain_paths_stay_as_they_are() {
    for path in ["/", "/account/getprofile", "/a/b/", "/a.b/..c/d", "/x%20y", "/caf%C3%A9", "/a:b@c!$&'()*+,=-_~"] {
        assert_eq!(plain(path).as_deref(), Some(path), "{path}");
    }
}

#[test]
fn escaped_plain_characters_are_written_plainly() {
    assert_eq!(plain("/%61dmin%2Ephp").as_deref(), Some("/admin.php"));
    assert_eq!(plain("/x%c3%a9").as_deref(), Some("/x%C3%A9"));
}

#[test]
fn paths_with_two_readings_are_refused() {
    for path in [
        "",
        "admin",
        "*",
        "//admin",
        "/admin//",
        "/a//b",
        "/./admin",
        "/a/./b",
        "/a/.",
        "/../admin",
        "/a/..",
        "/a/../b",
        "/%2e/admin",
        "/%2e%2e/admin",
        "/.%2e/admin",
        "/%2E%2E/",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
        "/a;b",
        "/a;/b",
        "/..;/admin",
        "/a%3bb",
        "/a%00",
        "/a%0a",
        "/a%0d%0a",
        "/a%7f",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a%+1",
        "/a%252fb",
        "/%252e%252e/",
        "/a%25",
        "/caf\u{e9}",
        "/a b",
        "/a\tb",
        "/a#b",
        "/a?b",
        "/%C0%AE%C0%AE/b",
        "/a%C0%AFb",
        "/%E0%80%AE",
        "/%ff",
        "/caf%e9",
        "/%ED%A0%80",
        "/a%C2%80",
        "/a%c2%9F/b",
        "/a.",
        "/a./b",
        "/a%2E/b",
        "/a%20/b",
        "/a%20",
        "/%20",
        "/a.%20.",
        "/...",
        "/.../b",
        "/.%20./b",
        "/%20./b",
        "/a::$DATA",
        "/a:$i30:$INDEX_ALLOCATION/b",
        "/a%3a%24DATA",
        "/a:%24x",
    ] {
        assert_eq!(plain(path), None, "{path}");
    }
}

#[test]
fn routes_are_looked_for_by_what_escapes_stand_for() {
    for (path, expected) in [
        ("/a/b", "/a/b"),
        ("/a%24b%40c%21", "/a$b@c!"),
        ("/caf%C3%A9%20x", "/caf\u{e9} x"),
        ("/a%2Fb%5Cc%25d%3Be", "/a%2Fb%5Cc%25d%3Be"),
        ("/a%", "/a%"),
    ] {
        assert_eq!(decoded(path), expected);
    }
}

#[test]
fn letter_case_is_folded_character_by_character() {
    for (path, expected) in [
        ("/Admin/X1", "/admin/x1"),
        ("/\u{c9}\u{e9}\u{3a3}\u{3c3}\u{3c2}", "/\u{e9}\u{e9}\u{3c3}\u{3c3}\u{3c3}"),
        ("/\u{212a}\u{17f}", "/ks"),
        ("/stra\u{df}e\u{131}\u{130}", "/stra\u{df}e\u{131}\u{130}"),
    ] {
        assert_eq!(folded(path), expected);
    }
}

proptest! {
    #[test]
    fn a_normal_form_is_its_own_normal_form(path in "/[a-z0-9%./;\\\\~_A-F-]{0,40}") {
        if let Ok(once) = normal(&path) {
            let twice = normal(&once.text);
            prop_assert_eq!(twice.as_ref(), Ok(&once));
            let text = format!("{}/", once.text);
            prop_assert!(!text.contains("/../") && !text.contains("/./") && !once.text.starts_with("//"));
            prop_assert!(once.non_canonical.has(NonCanonical::DOUBLE_SLASH) || !once.text.contains("//"));
        }
    }

    /// With everything allowed on open routes, whatever servers make of a path stays out of closed areas.
    #[test]
    fn no_reading_of_an_allowed_path_leaves_the_area_of_its_route(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 1..9)) {
        let path = format!("/{}", pieces.concat());
        let Ok(Normal { text, non_canonical }) = normal(&path) else { return Ok(()) };
        let Ok(all) = readings(&text, non_canonical) else { return Ok(()) };
        if all.iter().any(|path| is_closed(path)) {
            return Ok(());
        }
        for server in 0..512 {
            let seen = seen_by(server, &text);
            prop_assert!(!is_closed(&seen), "{} is {} to server {:b}", path, seen, server);
        }
    }
}

const PIECES: [&str; 34] = [
    "/", "/", "//", "admin", "admin", "x", "%2f", "%2F", "%5c", "%25", "25", "2f", "5c", "2e", ";", "%3b", "3b", "..",
    ".", "%2e", "%61", "61dmin", "a=b", "\\", "%20", "20", "%c0%ae", "c0%25ae", "::$I", ":", "$", "%3a", "3A", "%24",
];

fn is_closed(path: &str) -> bool {
    path == "/admin" || path.starts_with("/admin/")
}

/// The path as a careless server reads it: bits of its number select its habits.
fn seen_by(server: u32, path: &str) -> String {
    let does = |bit: u32| server & (1 << bit) != 0;
    let mut path = path.to_owned();
    let times = if does(0) { 3 } else { usize::from(does(1)) };
    for _ in 0..times {
        path = percent_encoding::percent_decode_str(&path).decode_utf8_lossy().into_owned();
    }
    if does(2) {
        path = path.replace('\\', "/");
    }
    if does(3) {
        path = path.split('/').map(before_semicolon).collect::<Vec<_>>().join("/");
    } else if does(4) {
        path = before_semicolon(&path).to_owned();
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        let segment =
            if does(6) && segment.contains(":$") { segment.split(':').next().unwrap_or_default() } else { segment };
        let segment = if does(7) { segment.trim_end_matches(' ') } else { segment };
        match segment {
            ".." => drop(segments.pop()),
            "." => {}
            "" if does(5) => {}
            segment if does(8) => segments.push(segment.trim_end_matches(['.', ' '])),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}
