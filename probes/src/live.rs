//! Access to map values that needs no `unsafe` at each field.

use core::{
    borrow::Borrow,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap, PerCpuArray};
use backscope_abi::{Connection, Exchange, SchedDelta};

/// A value in a map, in a socket's storage or in the ring buffer.
///
/// It stays valid for the run of the program that looked it up, even if it is removed meanwhile:
/// the kernel frees it after that. Other processors may write the same value at any time, as they
/// may through the plain pointer that this is. So a reference into it lasts for one access; keep a
/// `Live` instead.
#[repr(transparent)]
pub(crate) struct Live<T>(NonNull<T>);

impl<T> Clone for Live<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Live<T> {}

impl<T> Live<T> {
    /// Takes what a helper returned; `None` if that is null.
    ///
    /// # Safety
    /// `value` must be null, or valid for the run of the program.
    #[inline(always)]
    pub(crate) unsafe fn new(value: *mut T) -> Option<Self> {
        match NonNull::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// Takes a pointer that is not null.
    ///
    /// # Safety
    /// `value` must be valid for the run of the program.
    #[inline(always)]
    pub(crate) unsafe fn from_ptr(value: *mut T) -> Self {
        // SAFETY: promised by the caller.
        Self(unsafe { NonNull::new_unchecked(value) })
    }

    #[inline(always)]
    pub(crate) fn as_ptr(self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T> Deref for Live<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: promised at its making.
        unsafe { &*self.0.as_ptr() }
    }
}

impl<T> DerefMut for Live<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: promised at its making.
        unsafe { &mut *self.0.as_ptr() }
    }
}

impl Live<Connection> {
    /// The exchange that the connection is in.
    #[inline(always)]
    pub(crate) fn exchange(self) -> Live<Exchange> {
        // SAFETY: a part of a value is valid as long as all of it.
        unsafe { Live::from_ptr(&raw mut (*self.as_ptr()).exchange) }
    }
}

impl Live<Exchange> {
    /// The thread that read first.
    #[inline(always)]
    pub(crate) fn reader(self) -> Live<SchedDelta> {
        // SAFETY: as above.
        unsafe { Live::from_ptr(&raw mut (*self.as_ptr()).reader) }
    }

    /// The thread that wrote first.
    #[inline(always)]
    pub(crate) fn writer(self) -> Live<SchedDelta> {
        // SAFETY: as above.
        unsafe { Live::from_ptr(&raw mut (*self.as_ptr()).writer) }
    }
}

/// A map whose values are found by key.
pub(crate) trait Find<K, V> {
    /// Finds the value of a key.
    fn find(&self, key: impl Borrow<K>) -> Option<Live<V>>;
}

macro_rules! find {
    ($map:ident, $($key:ident)?) => {
        impl<$($key,)? V, const ENTRIES: usize, const FLAGS: usize> Find<find!(@ $($key)?), V>
            for $map<$($key,)? V, ENTRIES, FLAGS>
        {
            #[inline(always)]
            fn find(&self, key: impl Borrow<find!(@ $($key)?)>) -> Option<Live<V>> {
                match self.get_ptr_mut(find!(# key $($key)?)) {
                    // SAFETY: the map's own pointer to a value.
                    Some(value) => unsafe { Live::new(value) },
                    None => None,
                }
            }
        }
    };
    (@ $key:ident) => { $key };
    (@) => { u32 };
    (# $value:ident $key:ident) => { $value };
    (# $value:ident) => { *$value.borrow() };
}

find!(HashMap, K);
find!(LruHashMap, K);
find!(Array,);
find!(PerCpuArray,);
