//! The allocator and its settings.
//!
//! jemalloc's defaults are made for speed: four arenas a processor, of which each keeps what was freed for ten seconds.
//! Here most of what is freed are pages of metrics, megabytes each, and what the process has counts against a limit.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// An arena a processor; unused memory goes back within a second, by threads of the allocator's own.
const SETTINGS: &[u8; 80] =
    b"percpu_arena:percpu,background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

// SAFETY: jemalloc declares this name as a `const char *` and defines it weakly; it reads the string, which ends in a
// zero, once, and no other item of the program has the name. A reference to a sized array is such a pointer.
#[allow(unsafe_code)]
#[used]
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: &[u8; SETTINGS.len()] = SETTINGS;
