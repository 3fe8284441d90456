//! What temporary files of request bodies take: descriptors of the process, and the disk of their backend.

use std::any::Any;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::open_files;

/// Open temporary files of the process.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Where a backend has its temporary files, and how large they may become.
#[derive(Debug, Clone)]
pub struct BufferFiles {
    /// The backend.
    pub backend: Arc<str>,
    /// Directory.
    pub directory: Arc<Path>,
    /// Most bytes of all of them together.
    pub total: u64,
    /// Bytes of all of them together.
    pub space: Arc<BufferSpace>,
}

/// Bytes in the temporary files of a backend. Outlives a policy.
#[derive(Debug, Default)]
pub struct BufferSpace(AtomicU64);

/// What its caller gives for a temporary file, given back when dropped.
pub type BufferShare = Box<dyn Any + Send + Sync>;

/// Descriptor of a temporary file; counted until dropped.
#[derive(Debug)]
pub(super) struct BufferDescriptor(());

impl BufferDescriptor {
    /// One more, if one is left.
    pub(super) fn take() -> Option<Self> {
        let before = OPEN.fetch_add(1, Ordering::Relaxed);
        let descriptor = Self(());
        (before < open_files::for_buffers()).then_some(descriptor)
    }
}

impl Drop for BufferDescriptor {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open temporary file, with all that is given back once it is closed.
pub(super) struct OpenBuffer {
    pub(super) file: File,
    taken: AtomicU64,
    pub(super) files: BufferFiles,
    _descriptor: BufferDescriptor,
    _share: BufferShare,
}

impl OpenBuffer {
    pub(super) fn new(file: File, files: BufferFiles, descriptor: BufferDescriptor, share: BufferShare) -> Self {
        Self { file, taken: AtomicU64::new(0), files, _descriptor: descriptor, _share: share }
    }

    /// Takes room for so many bytes; false where the files of the backend would become too large by them.
    pub(super) fn grow(&self, bytes: u64) -> bool {
        let BufferFiles { total, space, .. } = &self.files;
        let grown = |before: u64| before.checked_add(bytes).filter(|after| after <= total);
        let is_room = space.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok();
        if is_room {
            self.taken.fetch_add(bytes, Ordering::Relaxed);
        }
        is_room
    }
}

impl Drop for OpenBuffer {
    fn drop(&mut self) {
        self.files.space.0.fetch_sub(*self.taken.get_mut(), Ordering::Relaxed);
    }
}

impl std::fmt::Debug for OpenBuffer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OpenBuffer").field("taken", &self.taken).finish_non_exhaustive()
    }
}
