//! Components as data: what a kernel core needs to know to build one, wire it and put it where the manifest says.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::AtomicU64;

use crate::around::Observer;
use crate::client::Port;
use crate::hotplug::{Hotplug, Offers};
use crate::message::InterfaceInfo;
use crate::server::Dispatch;

/// Implemented by `#[interface]` for `dyn X`.
pub trait Interface: Send + Sync + 'static {
    /// The interface as data.
    fn info() -> &'static InterfaceInfo;
    /// A client that sends through `port`.
    fn client(port: Arc<dyn Port>) -> Arc<Self>;
    /// A server of `target`.
    fn server(target: Arc<Self>) -> Arc<dyn Dispatch>;
    /// `target` with an observer around every operation.
    fn observed(target: Arc<Self>, observer: Arc<dyn Observer>) -> Arc<Self>;
}

/// An `Arc<dyn X>` whose interface is known at run time only.
#[derive(Clone)]
pub struct Handle {
    info: &'static InterfaceInfo,
    target: Arc<dyn Any + Send + Sync>,
    serve: fn(&Handle) -> Arc<dyn Dispatch>,
    before_server: Option<fn(Arc<dyn Dispatch>) -> Arc<dyn Dispatch>>,
    observe: fn(&Handle, Arc<dyn Observer>) -> Handle,
}

/// A handle was asked for an interface that it does not offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongInterface {
    /// What it offers.
    pub offered: &'static str,
    /// What was asked for.
    pub wanted: &'static str,
}

impl core::fmt::Display for WrongInterface {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "a component that offers {} was asked for {}", self.offered, self.wanted)
    }
}

impl core::error::Error for WrongInterface {}

impl Handle {
    /// The handle of an object.
    pub fn new<I: ?Sized + Interface>(target: Arc<I>) -> Handle {
        fn typed<I: ?Sized + Interface>(handle: &Handle) -> Arc<I> {
            handle.get::<I>().expect("made by `new` with this very type")
        }
        Handle {
            info: I::info(),
            target: Arc::new(target),
            serve: |handle| I::server(typed::<I>(handle)),
            before_server: None,
            observe: |handle, observer| Handle::new(I::observed(typed::<I>(handle), observer)),
        }
    }

    /// A handle that sends through `port`.
    pub fn client<I: ?Sized + Interface>(port: Arc<dyn Port>) -> Handle {
        Handle::new(I::client(port))
    }

    /// The interface offered.
    pub fn info(&self) -> &'static InterfaceInfo {
        self.info
    }

    /// The object behind it.
    pub fn get<I: ?Sized + Interface>(&self) -> Result<Arc<I>, WrongInterface> {
        self.target
            .downcast_ref::<Arc<I>>()
            .cloned()
            .ok_or(WrongInterface { offered: self.info.name, wanted: I::info().name })
    }

    /// A server of it.
    pub fn serve(&self) -> Arc<dyn Dispatch> {
        let server = (self.serve)(self);
        self.before_server.map_or_else(|| server.clone(), |put| put(server.clone()))
    }

    /// The same with something put before its servers.
    pub fn with_server(self, put: fn(Arc<dyn Dispatch>) -> Arc<dyn Dispatch>) -> Handle {
        Handle { before_server: Some(put), ..self }
    }

    /// The same with an observer around every operation.
    pub fn observed(&self, observer: Arc<dyn Observer>) -> Handle {
        Handle { before_server: self.before_server, ..(self.observe)(self, observer) }
    }
}

/// Words that are one component's alone and outlive its instances: a successor finds in them what its predecessor stored
/// last, be it spoiled. They are zeros at the boot.
pub type Store = &'static [AtomicU64];

/// What a component is handed at its start: its imports, by name.
#[derive(Default, Clone)]
pub struct Imports {
    handles: BTreeMap<String, Handle>,
    store: Option<Store>,
    offers: Option<Offers>,
}

/// Why a component could not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartError {
    /// An import is missing.
    Missing(String),
    /// An import is of another interface.
    Wrong(String, WrongInterface),
    /// The component itself refused.
    Refused(crate::Errno),
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            StartError::Missing(name) => {
                write!(f, "the import `{name}` is missing: add it to the manifest before this component")
            }
            StartError::Wrong(name, wrong) => write!(f, "the import `{name}` does not fit: {wrong}"),
            StartError::Refused(errno) => write!(f, "the component refused to start: {errno}"),
        }
    }
}

impl core::error::Error for StartError {}

impl From<crate::Errno> for StartError {
    fn from(errno: crate::Errno) -> StartError {
        StartError::Refused(errno)
    }
}

impl Imports {
    /// Adds an import.
    pub fn insert(&mut self, name: &str, handle: Handle) {
        self.handles.insert(name.into(), handle);
    }

    /// The handle of this name.
    pub fn handle(&self, name: &str) -> Option<&Handle> {
        self.handles.get(name)
    }

    /// The import of this name.
    pub fn get<I: ?Sized + Interface>(&self, name: &str) -> Result<Arc<I>, StartError> {
        let handle = self.handles.get(name).ok_or_else(|| StartError::Missing(name.into()))?;
        handle.get::<I>().map_err(|wrong| StartError::Wrong(name.into(), wrong))
    }

    /// The same imports with an observer around every operation.
    pub fn observed(&self, observer: &Arc<dyn Observer>) -> Imports {
        let handles = self.handles.iter().map(|(name, handle)| (name.clone(), handle.observed(observer.clone())));
        Imports { handles: handles.collect(), store: self.store, offers: self.offers.clone() }
    }

    /// The words that outlive the component, if it asked for some and this kernel restarts it without them.
    pub fn store(&self) -> Option<Store> {
        self.store
    }

    /// Hands it these.
    pub fn set_store(&mut self, store: Store) {
        self.store = Some(store);
    }

    /// Says that the component can let go of imports while it runs; of no account where no core asks for that.
    pub fn offer(&self, holder: Arc<dyn Hotplug>) {
        self.offers.iter().for_each(|offers| offers(holder.clone()));
    }

    /// Has offers noted.
    pub fn set_offers(&mut self, offers: Offers) {
        self.offers = Some(offers);
    }

    /// All imports that offer one interface, by name: what a VFS finds under `/dev`.
    pub fn all<I: ?Sized + Interface>(&self) -> impl Iterator<Item = (&str, Arc<I>)> {
        self.handles.iter().filter_map(|(name, handle)| Some((name.as_str(), handle.get::<I>().ok()?)))
    }
}

/// How a component is started from its imports.
pub type Start = Box<dyn Fn(&Imports) -> Result<Handle, StartError> + Send + Sync>;

/// A component as it is registered: its name, what it offers, what it needs, how it starts.
pub struct Component {
    /// Its name, unique in a kernel.
    pub name: String,
    /// What it offers.
    pub interface: &'static InterfaceInfo,
    /// The components it calls.
    pub imports: &'static [&'static str],
    /// Whether apps may call it.
    pub apps: bool,
    /// Words it wants that outlive it, so that a successor finds what it knew.
    pub store: usize,
    /// Its Rust type's full name, by which a fault injector finds its methods among the symbols.
    pub type_name: &'static str,
    /// Starts it.
    pub start: Start,
    /// Makes a client of it.
    pub client: fn(Arc<dyn Port>) -> Handle,
}

impl Component {
    /// A component of type `T` that offers `I`.
    pub fn new<I: ?Sized + Interface, T>(
        name: &str,
        imports: &'static [&'static str],
        start: impl Fn(&Imports) -> Result<Arc<I>, StartError> + Send + Sync + 'static,
    ) -> Component {
        Component {
            name: name.into(),
            interface: I::info(),
            imports,
            apps: false,
            store: 0,
            type_name: core::any::type_name::<T>(),
            start: Box::new(move |given| Ok(Handle::new(start(given)?))),
            client: Handle::client::<I>,
        }
    }

    /// The same, open to apps.
    pub fn for_apps(self) -> Component {
        Component { apps: true, ..self }
    }

    /// The same with a store of so many words.
    pub fn with_store(self, words: usize) -> Component {
        Component { store: words, ..self }
    }
}
