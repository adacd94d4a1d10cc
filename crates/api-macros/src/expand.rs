//! What `#[interface]` generates.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

use crate::parse::{Argument, Interface, Kind, Method};

pub fn expand(interface: &Interface) -> TokenStream {
    let mut item = interface.item.clone();
    item.supertraits.push(syn::parse_quote!(::core::marker::Send));
    item.supertraits.push(syn::parse_quote!(::core::marker::Sync));
    item.items.extend(interface.methods.iter().filter_map(submission));
    let vis = &item.vis;
    let name = &item.ident;
    let text = name.to_string();
    let (client, server, around) =
        (format_ident!("{name}Client"), format_ident!("{name}Server"), format_ident!("{name}Around"));
    let hash = interface.hash;
    let operations = interface.methods.iter().enumerate().map(|(number, method)| operation(&text, number, method));
    let checks = interface.methods.iter().map(check);
    let client_methods = interface.methods.iter().enumerate().map(|(n, m)| client_method(n, m));
    let arms = interface.methods.iter().enumerate().map(|(n, m)| server_arm(n, m));
    let around_methods = interface.methods.iter().enumerate().map(|(n, m)| around_method(n, m));
    let client_doc = format!("[`{name}`] by messages.");
    let server_doc = format!("Messages as calls on a [`{name}`].");
    let around_doc = format!("[`{name}`] over any pointer to one, with something around every operation.");
    quote! {
        #item

        #[doc = #client_doc]
        #vis struct #client { port: ::kd_api::generated::Arc<dyn ::kd_api::client::Port> }

        #[doc = #server_doc]
        #vis struct #server<T: ?Sized>(pub ::kd_api::generated::Arc<T>);

        #[doc = #around_doc]
        #vis struct #around<A, P> {
            /// What is done around each operation.
            pub around: A,
            /// Where the operations go.
            pub inner: P,
        }

        const _: () = {
            use ::kd_api::generated as __api;
            #(#checks)*

            static OPERATIONS: &[__api::Operation] = &[#(#operations),*];
            static INFO: __api::InterfaceInfo = __api::InterfaceInfo {
                name: #text,
                path: ::core::concat!(::core::module_path!(), "::", #text),
                operations: OPERATIONS,
                hash: #hash,
            };

            impl #client {
                /// The interface as data.
                pub const INFO: &'static __api::InterfaceInfo = &INFO;

                /// A client that sends through `port`.
                pub fn new(port: __api::Arc<dyn ::kd_api::client::Port>) -> Self { #client { port } }
            }

            impl #name for #client { #(#client_methods)* }

            impl<T: ?Sized + #name> __api::Dispatch for #server<T> {
                fn info(&self) -> &'static __api::InterfaceInfo { &INFO }

                fn dispatch(&self, __incoming: __api::Incoming<'_>, __reply: &mut __api::Message) -> __api::Answer {
                    let __operation = __incoming.request.operation;
                    let __window = __incoming.window;
                    let __caller = __incoming.caller;
                    let __later = __incoming.later;
                    let __run = || -> ::kd_api::Result<__api::Answer> {
                        let (mut __from, mut __input, mut __output) = __incoming.open()?;
                        let _ = (&__caller, &__later, &mut __from, &mut __input, &mut __output);
                        match __operation {
                            #(#arms)*
                            _ => Err(::kd_api::Errno::ENOSYS),
                        }
                    };
                    __run().unwrap_or_else(|errno| {
                        __reply.refuse(__operation, errno);
                        __api::Answer::Reply
                    })
                }
            }

            impl<A, P> #name for #around<A, P>
            where
                A: __api::Around,
                P: ::core::ops::Deref + ::core::marker::Send + ::core::marker::Sync,
                P::Target: #name,
            { #(#around_methods)* }

            impl __api::Interface for dyn #name {
                fn info() -> &'static __api::InterfaceInfo { &INFO }
                fn client(port: __api::Arc<dyn ::kd_api::client::Port>) -> __api::Arc<Self> {
                    __api::Arc::new(#client::new(port))
                }
                fn server(target: __api::Arc<Self>) -> __api::Arc<dyn __api::Dispatch> {
                    __api::Arc::new(#server(target))
                }
                fn observed(target: __api::Arc<Self>, observer: __api::Arc<dyn __api::Observer>) -> __api::Arc<Self> {
                    __api::Arc::new(#around { around: __api::Observed::new(observer), inner: target })
                }
            }
        };
    }
}

fn operation(interface: &str, number: usize, method: &Method) -> TokenStream {
    let name = method.name.to_string();
    let number = number as u16;
    let Method { idempotent, blocking, event, deferred, .. } = method;
    let result = match &method.result {
        Some(ty) if !deferred => quote!(::core::mem::size_of::<::kd_api::Result<#ty>>()),
        _ => quote!(0),
    };
    quote! {
        __api::Operation {
            interface: #interface, name: #name, number: #number,
            idempotent: #idempotent, blocking: #blocking, event: #event, result: #result, deferred: #deferred,
        }
    }
}

/// Compile-time proof that arguments and result can cross and fit into a message's words.
fn check(method: &Method) -> TokenStream {
    let values = method.arguments.iter().filter_map(|argument| match &argument.kind {
        Kind::Value(ty) => Some(quote_spanned!(ty.span()=> <#ty as __api::Wire>::WORDS)),
        Kind::Text => Some(quote!(1)),
        _ => None,
    });
    let span = method.name.span();
    let message = format!("the arguments of `{}` take more words than a message has", method.name);
    let arguments = quote_spanned!(span=>
        // No argument is 0 words, and one is `0 + n`: fine in generated code.
        #[allow(clippy::identity_op, clippy::absurd_extreme_comparisons)]
        const _: () = {
            let words: usize = 0 #(+ #values)*;
            ::core::assert!(words <= __api::WORDS, #message);
        };
    );
    let result = method.result.as_ref().map(|ty| {
        let message = format!("the result of `{}` takes more words than a message has", method.name);
        quote_spanned!(ty.span()=>
            #[allow(clippy::absurd_extreme_comparisons)]
            const _: () = ::core::assert!(<#ty as __api::Wire>::WORDS <= __api::WORDS, #message);
        )
    });
    // An event's window would never be taken back, a deferred reply may outlive the claim on its own, and a submitted
    // call is sent again from its words.
    let windowless: Vec<_> = match (&method.result, method.event) {
        (_, true) => plain(method).collect(),
        (Some(ty), _) if method.deferred => vec![ty],
        _ if method.submittable => plain(method).collect(),
        _ => Vec::new(),
    };
    let windowless = windowless.into_iter().map(|ty| {
        let message = format!("`{}` carries words only: pass scalars and identifiers", method.name);
        quote_spanned!(ty.span()=> const _: () = ::core::assert!(!<#ty as __api::Wire>::SPILLS, #message);)
    });
    quote!(#arguments #result #(#windowless)*)
}

/// The types of a method's plain arguments.
fn plain(method: &Method) -> impl Iterator<Item = &syn::Type> {
    method.arguments.iter().filter_map(|a| if let Kind::Value(ty) = &a.kind { Some(&**ty) } else { None })
}

/// The signature of a `submit_...`, up to its body.
fn submit_signature(method: &Method) -> TokenStream {
    let Method { name, result, .. } = method;
    let submit = format_ident!("submit_{name}");
    let parameters = method.arguments.iter().map(|Argument { name, kind }| match kind {
        Kind::In => quote!(#name: ::kd_api::InBuf<'t>),
        Kind::Out => quote!(#name: ::kd_api::OutBuf<'t>),
        Kind::Caller => quote!(#name: ::kd_api::Caller),
        Kind::Value(ty) => quote!(#name: #ty),
        Kind::Text | Kind::Completion => quote!(),
    });
    quote!(fn #submit<'t>(&'t self, #(#parameters),*) -> ::kd_api::Ticket<'t, #result>)
}

/// The trait's own `submit_...`: the call is made at once.
fn submission(method: &Method) -> Option<syn::TraitItem> {
    let signature = method.submittable.then(|| submit_signature(method))?;
    let name = &method.name;
    let bulk = method.arguments.iter().filter(|a| matches!(a.kind, Kind::In | Kind::Out)).map(|a| &a.name);
    let passed = method.arguments.iter().map(|Argument { name, kind }| match kind {
        Kind::In | Kind::Out => quote!(&mut #name),
        _ => quote!(#name),
    });
    let doc = format!("[`{name}`](Self::{name}), submitted: its answer is the ticket's.");
    Some(syn::parse_quote! {
        #[doc = #doc]
        #signature {
            #(let mut #bulk = #bulk;)*
            ::kd_api::Ticket::answered(self.#name(#(#passed),*))
        }
    })
}

/// `name: Type` of the method's own signature.
fn parameters(method: &Method) -> Vec<TokenStream> {
    method
        .arguments
        .iter()
        .map(|Argument { name, kind }| match kind {
            Kind::Caller => quote!(#name: ::kd_api::Caller),
            Kind::Value(ty) => quote!(#name: #ty),
            Kind::Text => quote!(#name: &str),
            Kind::In => quote!(#name: &mut ::kd_api::InBuf<'_>),
            Kind::Out => quote!(#name: &mut ::kd_api::OutBuf<'_>),
            Kind::Completion => {
                let ty = &method.result;
                quote!(#name: ::kd_api::Completion<#ty>)
            }
        })
        .collect()
}

fn output(method: &Method) -> TokenStream {
    match &method.result {
        Some(ty) if !method.deferred => quote!(-> ::kd_api::Result<#ty>),
        _ => quote!(),
    }
}

fn client_method(number: usize, method: &Method) -> TokenStream {
    let Method { name, result, .. } = method;
    let (parameters, output) = (parameters(method), output(method));
    let puts = method.arguments.iter().filter_map(|Argument { name, kind }| match kind {
        Kind::Value(_) => Some(quote!(__api::Wire::put(&#name, __to)?;)),
        Kind::Text => Some(quote!(__to.spill(#name.as_bytes())?;)),
        _ => None,
    });
    let unused = method.arguments.iter().filter(|a| matches!(a.kind, Kind::Caller)).map(|a| &a.name);
    if method.event {
        return quote! {
            fn #name(&self, #(#parameters),*) {
                let mut __words = [0; __api::WORDS];
                let __to = &mut __api::Encoder::words_only(&mut __words);
                let mut __put = || -> ::kd_api::Result<()> { #(#puts)* Ok(()) };
                // An event whose words do not fit was refused at compile time.
                if __put().is_ok() {
                    __api::client::post(&*self.port, &OPERATIONS[#number], __words);
                }
            }
        };
    }
    let bulk = method.arguments.iter().find_map(|Argument { name, kind }| match kind {
        Kind::In => Some(quote!(In(#name))),
        Kind::Out => Some(quote!(Out(#name))),
        _ => None,
    });
    let bulk = bulk.unwrap_or_else(|| quote!(None));
    let submit = method.submittable.then(|| {
        let (signature, puts, unused) = (submit_signature(method), puts.clone(), unused.clone());
        quote! {
            #signature {
                #(let _ = #unused;)*
                __api::ticket::submit(
                    &*self.port,
                    &OPERATIONS[#number],
                    __api::ticket::Payload::#bulk,
                    |__to| { let _ = &__to; #(#puts)* Ok(()) },
                )
            }
        }
    });
    let call = quote! {
        __api::client::call(
            &*self.port,
            &OPERATIONS[#number],
            __api::client::Bulk::#bulk,
            |__to| { let _ = &__to; #(#puts)* Ok(()) },
            |__from| <#result as __api::Wire>::get(__from),
        )
    };
    let done = method.arguments.iter().find(|a| matches!(a.kind, Kind::Completion)).map(|a| &a.name);
    match done {
        Some(done) => quote! { fn #name(&self, #(#parameters),*) { #(let _ = #unused;)* #done.complete(#call) } },
        None => quote! { fn #name(&self, #(#parameters),*) #output { #(let _ = #unused;)* #call } #submit },
    }
}

fn server_arm(number: usize, method: &Method) -> TokenStream {
    let Method { name, result, .. } = method;
    let number = number as u16;
    let gets = method.arguments.iter().filter_map(|Argument { name, kind }| match kind {
        Kind::Value(ty) => Some(quote!(let #name = <#ty as __api::Wire>::get(&mut __from)?;)),
        Kind::Text => Some(quote!(let #name = __from.string()?;)),
        _ => None,
    });
    let passed = method.arguments.iter().map(|Argument { name, kind }| match kind {
        Kind::Caller => quote!(__caller),
        Kind::Value(_) | Kind::Text => quote!(#name),
        Kind::In => quote!(&mut __input),
        Kind::Out => quote!(&mut __output),
        Kind::Completion => quote!(::kd_api::server::completion::<#result>(__operation, __later())),
    });
    let moved = method.arguments.iter().find_map(|a| match a.kind {
        Kind::In => Some(quote!(__sent - __input.remaining())),
        Kind::Out => Some(quote!(__output.written())),
        _ => None,
    });
    let moved = moved.unwrap_or_else(|| quote!(0));
    let sent =
        method.arguments.iter().any(|a| matches!(a.kind, Kind::In)).then(|| quote!(let __sent = __input.remaining();));
    if method.event || method.deferred {
        return quote! {
            #number => { #(#gets)* self.0.#name(#(#passed),*); Ok(__api::Answer::Nothing) }
        };
    }
    quote! {
        #number => {
            #(#gets)*
            #sent
            let __result: ::kd_api::Result<#result> = self.0.#name(#(#passed),*);
            ::kd_api::server::reply(__operation, __window, #moved, __result, __reply);
            Ok(__api::Answer::Reply)
        }
    }
}

/// Whether a value names something of a client's.
fn is_handle(ty: &syn::Type) -> bool {
    let syn::Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "Ino" || last.ident == "Fd")
}

fn around_method(number: usize, method: &Method) -> TokenStream {
    let name = &method.name;
    let (parameters, output) = (parameters(method), output(method));
    let again = method.arguments.iter().map(|a| &a.name);
    let passed = method.arguments.iter().map(|Argument { name, kind }| match kind {
        Kind::Caller => quote!(self.around.pass(#name)),
        Kind::Value(ty) if is_handle(ty) => quote!(self.around.pass(#name)),
        _ => quote!(#name),
    });
    let bulk = method.arguments.iter().find_map(|Argument { name, kind }| match kind {
        Kind::In | Kind::Out => Some(name),
        _ => None,
    });
    let buffer = bulk.map(|name| quote!(self.around.buffer(#name.as_raw().0, #name.remaining());));
    let bulk = bulk.map(|name| quote!(#name.remaining()));
    let bulk = bulk.unwrap_or_else(|| quote!(0));
    let submit = method.submittable.then(|| {
        let (signature, submit) = (submit_signature(method), format_ident!("submit_{name}"));
        quote! {
            #signature {
                self.around.around(&OPERATIONS[#number], #bulk, || self.inner.#submit(#(#again),*))
            }
        }
    });
    quote! {
        fn #name(&self, #(#parameters),*) #output {
            self.around.around(&OPERATIONS[#number], #bulk, || {
                #buffer
                self.inner.#name(#(#passed),*)
            })
        }
        #submit
    }
}
