//! What an interface may contain, checked, with errors at the offending place.

use proc_macro2::Ident;
use quote::ToTokens;
use syn::{
    Attribute, Error, FnArg, GenericArgument, ItemTrait, Pat, PathArguments, Result, ReturnType, TraitItem, Type,
};

/// A checked interface.
pub struct Interface {
    /// The trait, without our markers.
    pub item: ItemTrait,
    /// Its methods.
    pub methods: Vec<Method>,
    /// FNV-1a of the trait's text.
    pub hash: u64,
}

/// One checked method.
pub struct Method {
    pub name: Ident,
    pub arguments: Vec<Argument>,
    /// `T` of `Result<T>`, or of `Completion<T>`.
    pub result: Option<Type>,
    pub idempotent: bool,
    pub blocking: bool,
    pub event: bool,
    pub deferred: bool,
    pub submittable: bool,
}

/// One argument.
pub struct Argument {
    pub name: Ident,
    pub kind: Kind,
}

/// How an argument crosses.
pub enum Kind {
    Caller,
    Value(Box<Type>),
    Text,
    In,
    Out,
    Completion,
}

impl Interface {
    pub fn parse(mut item: ItemTrait) -> Result<Interface> {
        if !item.generics.params.is_empty() {
            return Err(Error::new_spanned(
                &item.generics,
                "an interface has no generic parameters: its operations are numbered, not typed, across a boundary",
            ));
        }
        let hash = fnv(&item.to_token_stream().to_string());
        let mut methods = Vec::new();
        for entry in &mut item.items {
            let TraitItem::Fn(function) = entry else {
                return Err(Error::new_spanned(entry, "an interface contains methods only"));
            };
            let mut marks = Marks::default();
            function.attrs.retain(|attribute| !marks.take(attribute));
            methods.push(Method::parse(function, marks)?);
        }
        Ok(Interface { item, methods, hash })
    }
}

#[derive(Default)]
struct Marks {
    idempotent: bool,
    blocking: bool,
    event: bool,
    submittable: bool,
}

impl Marks {
    fn take(&mut self, attribute: &Attribute) -> bool {
        let mark = match attribute.path().get_ident().map(Ident::to_string).as_deref() {
            Some("idempotent") => &mut self.idempotent,
            Some("blocking") => &mut self.blocking,
            Some("event") => &mut self.event,
            Some("submittable") => &mut self.submittable,
            _ => return false,
        };
        *mark = true;
        true
    }
}

impl Method {
    fn parse(function: &syn::TraitItemFn, marks: Marks) -> Result<Method> {
        let signature = &function.sig;
        if let Some(body) = &function.default {
            return Err(Error::new_spanned(body, "an operation has no default body: a client could not know of it"));
        }
        if !signature.generics.params.is_empty() || signature.asyncness.is_some() {
            return Err(Error::new_spanned(signature, "an operation is neither generic nor async"));
        }
        let mut inputs = signature.inputs.iter();
        match inputs.next() {
            Some(FnArg::Receiver(receiver)) if receiver.reference.is_some() && receiver.mutability.is_none() => {}
            _ => {
                return Err(Error::new_spanned(
                    signature,
                    "an operation takes `&self`: several callers are inside at once",
                ));
            }
        }
        let mut result = None;
        let mut arguments = Vec::new();
        for input in inputs {
            let FnArg::Typed(typed) = input else { continue };
            let Pat::Ident(name) = &*typed.pat else {
                return Err(Error::new_spanned(&typed.pat, "an argument is a plain name"));
            };
            let kind = Kind::parse(&typed.ty, &mut result)?;
            if let Some(Argument { kind: Kind::Completion, .. }) = arguments.last() {
                return Err(Error::new_spanned(typed, "a `Completion` is the last argument"));
            }
            let bulk = |kind: &Kind| matches!(kind, Kind::In | Kind::Out);
            if bulk(&kind) && arguments.iter().any(|a: &Argument| bulk(&a.kind)) {
                return Err(Error::new_spanned(
                    &typed.ty,
                    "an operation carries at most one `InBuf` or `OutBuf`: a slot has one window",
                ));
            }
            if marks.event && !matches!(kind, Kind::Value(_)) {
                return Err(Error::new_spanned(
                    &typed.ty,
                    "an event carries words only: nobody waits to take its window back",
                ));
            }
            if marks.submittable && matches!(kind, Kind::Text | Kind::Completion) {
                return Err(Error::new_spanned(
                    &typed.ty,
                    "a submitted call carries words and one buffer: no more is kept to send it again",
                ));
            }
            arguments.push(Argument { name: name.ident.clone(), kind });
        }
        let deferred = result.is_some();
        let bulk = arguments.iter().find(|argument| matches!(argument.kind, Kind::In | Kind::Out));
        if let (true, Some(bulk)) = (deferred, bulk) {
            return Err(Error::new_spanned(
                &bulk.name,
                "a deferred operation carries no bulk data: its caller's buffer may be gone when it is answered",
            ));
        }
        if marks.submittable && marks.event {
            return Err(Error::new_spanned(
                &signature.ident,
                "an event is never answered: there is nothing to complete",
            ));
        }
        match (&signature.output, marks.event || deferred) {
            (ReturnType::Default, true) => {}
            (ReturnType::Type(_, ty), false) => {
                result = Some(inner(ty, "Result").ok_or_else(|| {
                    Error::new_spanned(ty, "an operation returns `Result<T>`: its server may be gone")
                })?)
            }
            (ReturnType::Type(_, ty), true) => {
                return Err(Error::new_spanned(ty, "an event or deferred operation returns nothing"));
            }
            (ReturnType::Default, false) => {
                return Err(Error::new_spanned(signature, "an operation returns `Result<T>`: its server may be gone"));
            }
        }
        Ok(Method {
            name: signature.ident.clone(),
            arguments,
            result,
            idempotent: marks.idempotent,
            blocking: marks.blocking,
            event: marks.event,
            deferred,
            submittable: marks.submittable,
        })
    }
}

impl Kind {
    fn parse(ty: &Type, deferred: &mut Option<Type>) -> Result<Kind> {
        let refuse = |why: &str| Err(Error::new_spanned(ty, why));
        match ty {
            Type::Reference(reference) => match (&*reference.elem, reference.mutability.is_some()) {
                (Type::Path(path), false) if path.path.is_ident("str") => Ok(Kind::Text),
                (Type::Path(path), true) => match path.path.segments.last().map(|s| s.ident.to_string()).as_deref() {
                    Some("InBuf") => Ok(Kind::In),
                    Some("OutBuf") => Ok(Kind::Out),
                    _ => refuse(
                        "a mutable reference cannot cross a boundary: take `&mut OutBuf<'_>` for bytes, or return the value",
                    ),
                },
                (Type::Slice(_), _) => {
                    refuse("a slice cannot cross a boundary: take `&mut InBuf<'_>` or `&mut OutBuf<'_>`")
                }
                _ => refuse(
                    "a reference cannot cross a boundary: pass the value, `&str`, `&mut InBuf<'_>` or `&mut OutBuf<'_>`",
                ),
            },
            Type::Path(path) => {
                let Some(last) = path.path.segments.last() else { return refuse("an argument has a named type") };
                if last.ident == "Caller" {
                    return Ok(Kind::Caller);
                }
                if last.ident == "InBuf" || last.ident == "OutBuf" {
                    return refuse(
                        "bulk data is passed as `&mut InBuf<'_>` or `&mut OutBuf<'_>`: the cursor stays the caller's",
                    );
                }
                if let Some(value) = inner(ty, "Completion") {
                    *deferred = Some(value);
                    return Ok(Kind::Completion);
                }
                for owner in ["Box", "Arc", "Rc", "Vec", "String"] {
                    if last.ident == owner {
                        return refuse("owned memory cannot cross a boundary: the other side has another allocator");
                    }
                }
                Ok(Kind::Value(Box::new(ty.clone())))
            }
            Type::Tuple(_) => Ok(Kind::Value(Box::new(ty.clone()))),
            _ => refuse(
                "this type cannot cross a boundary: pass a scalar, an identifier, a `Wire` structure, `&str`, `&mut InBuf<'_>` or `&mut OutBuf<'_>`",
            ),
        }
    }
}

/// `T` of `Name<T>`.
fn inner(ty: &Type, name: &str) -> Option<Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(inner) if arguments.args.len() == 1 => Some(inner.clone()),
        _ => None,
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo).
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
