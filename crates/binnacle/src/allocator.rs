//! The allocator and its settings.
//!
//! jemalloc's defaults are made for speed: four arenas a processor, of which each keeps what was freed for ten seconds.
//! Here most of what is freed are pages of metrics, megabytes each, and what the process has counts against a limit.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::ptr::null_mut;

use rustix::fs::MemfdFlags;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// An arena a processor; unused memory goes back within a second, by threads of the allocator's own. Of each 512 KiB that
/// are allocated, one allocation's stack is noted, as Go does, for heap profiles.
const SETTINGS: &[u8; 125] =
    b"percpu_arena:percpu,background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,\
    prof:true,prof_active:true,lg_prof_sample:19\0";

// SAFETY: jemalloc declares this name as a `const char *` and defines it weakly; it reads the string, which ends in a
// zero, once, and no other item of the program has the name. A reference to a sized array is such a pointer.
#[allow(unsafe_code)]
#[used]
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: &[u8; SETTINGS.len()] = SETTINGS;

/// What is allocated, by stacks, in jemalloc's format `heap_v2`.
///
/// # Errors
/// `NotFound` when it was started without (`_RJEM_MALLOC_CONF=prof:false`).
pub(crate) fn heap_dump() -> io::Result<String> {
    // The file system may be read-only.
    let mut file = File::from(rustix::fs::memfd_create("heap", MemfdFlags::CLOEXEC)?);
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let mut argument = path.as_ptr();
    // SAFETY: `prof.dump` takes a pointer to a path that ends in a zero, reads both during the call only, and answers
    // nothing by the pointers for answers, which may be null then.
    #[allow(unsafe_code)]
    let code = unsafe {
        tikv_jemalloc_sys::mallctl(
            c"prof.dump".as_ptr(),
            null_mut(),
            null_mut(),
            (&raw mut argument).cast(),
            size_of_val(&argument),
        )
    };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}
