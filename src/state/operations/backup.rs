//! The records of this process's file, page by page, for a backup.

use crate::hex::hex;
use crate::state::embedded::PageStart;
use crate::state::{State, Store, archive};

impl State {
    /// A page of the records of this process's file, as lines of a backup, and the place of the next page: all of one
    /// moment. Without a place the first page.
    ///
    /// # Errors
    /// The reason, as a sentence.
    pub async fn records(&self, place: Option<&str>) -> Result<(Vec<String>, Option<String>), &'static str> {
        let Store::Embedded(store) = &self.store else {
            return Err("the state is not in a file of this gateway: back it up where it is");
        };
        let place = match place {
            None => {
                self.write_uses(store);
                None
            }
            Some(text) => {
                let place = text.split_once('-').and_then(|(snapshot, after)| {
                    let digits = (0..after.len() / 2).map(|at| after.get(2 * at..2 * at + 2));
                    let after = digits.map(|byte| u8::from_str_radix(byte?, 16).ok()).collect::<Option<_>>()?;
                    Some(PageStart { snapshot: snapshot.parse().ok()?, after })
                });
                Some(place.ok_or("there is no such place")?)
            }
        };
        let gone = "the state cannot be read any more, or another backup has begun, or another process has taken over: \
                    begin again";
        let page = store.read(place).await.ok_or(gone)?;
        let lines = page.records.iter().map(|(key, value)| archive::line(key, value)).collect::<Option<_>>();
        let next = page.next.map(|next| format!("{}-{}", next.snapshot, hex(&next.after)));
        Ok((lines.ok_or("a record of the state is no text")?, next))
    }
}
