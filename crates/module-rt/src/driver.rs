//! [`driver!`]: a driver module's declaration and its entry.

use kd_api::Result;
use kd_api::interfaces::block::BlockDevice;
use kd_api::module::{Driver, HostTable};
use kd_sync::Park;

use crate::allocator;
use crate::fence;

/// Makes a loadable module of a driver.
///
/// ```
/// # use kd_api::{Blocks, InBuf, OutBuf, Result, interfaces::block::{BlockDevice, Statistics}, module::DriverEnv};
/// struct Void;
/// impl Void {
///     fn probe(_: &DriverEnv<'_>, _: &Parameters) -> Result<Void> { Ok(Void) }
/// }
/// # impl BlockDevice for Void {
/// #     fn capacity(&self) -> Result<u64> { Ok(0) }
/// #     fn read(&self, _: u64, _: &mut OutBuf<'_>) -> Result<usize> { Ok(0) }
/// #     fn write(&self, _: u64, _: bool, _: &mut InBuf<'_>) -> Result<usize> { Ok(0) }
/// #     fn read_many(&self, _: Blocks, _: &mut OutBuf<'_>) -> Result<usize> { Ok(0) }
/// #     fn write_many(&self, _: Blocks, _: &mut InBuf<'_>) -> Result<usize> { Ok(0) }
/// #     fn flush(&self) -> Result<()> { Ok(()) }
/// #     fn statistics(&self) -> Result<Statistics> { Ok(Statistics::default()) }
/// # }
/// kd_module_rt::driver! {
///     name: "void",
///     license: "MIT OR Apache-2.0",
///     author: "Kernel Debate",
///     description: "Holds nothing",
///     parameters: Parameters { delay: 0 in 0..=1000 => "microseconds that a request takes" },
///     probe: Void::probe,
/// }
/// # fn main() {}
/// ```
///
/// It exports `kd_module_<name>`, the entry, and `kd_modinfo_<name>`, which keeps the section `.modinfo` in the file.
/// The names hold the module's, since the libraries of several modules may be linked into one program. Each parameter is
/// a number with its default and the values it may take; the structure named first holds them.
#[macro_export]
macro_rules! driver {
    (
        name: $name:literal,
        license: $license:literal,
        author: $author:literal,
        description: $description:literal,
        parameters: $parameters:ident { $($key:ident: $default:literal in $least:literal..=$most:literal => $text:literal),* $(,)? },
        probe: $probe:expr $(,)?
    ) => {
        /// What this module can be told.
        #[derive(Debug)]
        struct $parameters { $(#[doc = $text] $key: u64,)* }

        impl $parameters {
            /// What the host was told, and the defaults for the rest.
            fn given(env: &$crate::generated::DriverEnv<'_>) -> Self {
                #[allow(unused_mut)]
                let mut all = $parameters { $($key: $default,)* };
                for &(name, value) in env.parameters {
                    match name { $(stringify!($key) => all.$key = value,)* _ => { let _ = value; } }
                }
                all
            }
        }

        const _: () = {
            const INFO: &str = concat!(
                "name=", $name, "\0license=", $license, "\0author=", $author, "\0description=", $description,
                "\0version=", env!("CARGO_PKG_VERSION"),
                $("\0parm=", stringify!($key), ":", $default, ":", $least, ":", $most, ":", $text,)*
                "\0vermagic="
            );
            const LEN: usize = INFO.len() + $crate::generated::VERMAGIC.len() + 1;

            // Exported so that the linker keeps the section.
            #[used]
            #[unsafe(link_section = ".modinfo")]
            #[unsafe(export_name = concat!("kd_modinfo_", $name))]
            pub static MODINFO: [u8; LEN] = $crate::generated::info(INFO);

            #[unsafe(export_name = concat!("kd_module_", $name))]
            pub fn entry(
                host: &'static $crate::generated::HostTable,
                env: &$crate::generated::DriverEnv<'_>,
            ) -> ::kd_api::Result<$crate::generated::Driver> {
                $crate::start(host, || $probe(env, &$parameters::given(env)))
            }

            const _: $crate::generated::Entry = entry;
        };
    };
}

/// What a module's entry does: takes the host's memory and parking, then starts the driver behind its fence. The driver
/// is never freed: its host may call it until the domain ends.
///
/// # Errors
/// The driver's; `EBUSY` if this copy of the module was entered before.
pub fn start<T: BlockDevice + 'static>(host: &'static HostTable, probe: impl FnOnce() -> Result<T>) -> Result<Driver> {
    allocator::install(host)?;
    kd_sync::install(Box::leak(Box::new(Park { wait: host.wait, wake: host.wake })));
    fence::install(host);
    Ok(Box::leak(Box::new(probe()?)))
}
