//! The layouts of `union bpf_attr`, one struct per command.
//!
//! Each is `repr(C)` without hidden padding and ends where the kernels we know
//! begin to differ. A kernel that knows fewer fields takes a longer struct as
//! long as what it does not know is zero; one that knows more takes a shorter.

/// A plain-data attribute struct.
pub(super) trait Attr {}

macro_rules! attrs {
    ($($(#[$meta:meta])* $name:ident, $size:literal { $($field:ident: $ty:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[repr(C)]
            #[derive(Default)]
            pub(super) struct $name { $(pub(super) $field: $ty,)* }
            impl Attr for $name {}
            const _: () = assert!(size_of::<$name>() == $size);
        )*
    };
}

attrs! {
    MapCreate, 72 {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: [u8; 16],
        map_ifindex: u32,
        btf_fd: u32,
        btf_key_type_id: u32,
        btf_value_type_id: u32,
        btf_vmlinux_value_type_id: u32,
        map_extra: u64,
    }
    /// `value` is `next_key` for `BPF_MAP_GET_NEXT_KEY`.
    MapElem, 32 {
        map_fd: u32,
        pad: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    MapBatch, 56 {
        in_batch: u64,
        out_batch: u64,
        keys: u64,
        values: u64,
        count: u32,
        map_fd: u32,
        elem_flags: u64,
        flags: u64,
    }
    MapFd, 4 {
        map_fd: u32,
    }
    ProgLoad, 136 {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; 16],
        prog_ifindex: u32,
        expected_attach_type: u32,
        prog_btf_fd: u32,
        func_info_rec_size: u32,
        func_info: u64,
        func_info_cnt: u32,
        line_info_rec_size: u32,
        line_info: u64,
        line_info_cnt: u32,
        attach_btf_id: u32,
        attach_prog_fd: u32,
        core_relo_cnt: u32,
        fd_array: u64,
        core_relos: u64,
    }
    Obj, 16 {
        pathname: u64,
        bpf_fd: u32,
        file_flags: u32,
    }
    TestRun, 80 {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        ctx_size_in: u32,
        ctx_size_out: u32,
        ctx_in: u64,
        ctx_out: u64,
        flags: u32,
        cpu: u32,
        batch_size: u32,
        pad: u32,
    }
    GetId, 12 {
        id: u32,
        next_id: u32,
        open_flags: u32,
    }
    Info, 16 {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    }
    Query, 64 {
        target: u32,
        attach_type: u32,
        query_flags: u32,
        attach_flags: u32,
        prog_ids: u64,
        prog_cnt: u32,
        pad: u32,
        prog_attach_flags: u64,
        link_ids: u64,
        link_attach_flags: u64,
        revision: u64,
    }
    RawTracepoint, 16 {
        name: u64,
        prog_fd: u32,
        pad: u32,
    }
    BtfLoad, 32 {
        btf: u64,
        btf_log_buf: u64,
        btf_size: u32,
        btf_log_size: u32,
        btf_log_level: u32,
        pad: u32,
    }
    /// The tail is the member of the union that tcx uses; all others are zero.
    LinkCreate, 32 {
        prog_fd: u32,
        target: u32,
        attach_type: u32,
        flags: u32,
        relative_fd: u32,
        pad: u32,
        expected_revision: u64,
    }
    LinkUpdate, 16 {
        link_fd: u32,
        new_prog_fd: u32,
        flags: u32,
        old_prog_fd: u32,
    }
    LinkFd, 4 {
        link_fd: u32,
    }
}

/// The address of a buffer as `bpf_attr` carries it; 0 for an empty one.
pub(super) fn address<T>(slice: &[T]) -> u64 {
    if slice.is_empty() { 0 } else { slice.as_ptr() as u64 }
}

/// Like [`address`], for a buffer the kernel writes.
pub(super) fn address_mut<T>(slice: &mut [T]) -> u64 {
    if slice.is_empty() { 0 } else { slice.as_mut_ptr() as u64 }
}
