//! `#[controller]`: an impl block and the handlers in it.
//!
//! As dropshot does it: whatever is wrong, the author's code is emitted as it is (less our
//! attributes) and so is an implementation of the trait, so that the only errors are those about
//! the mistakes, and all of them at once.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ImplItem, ItemImpl, LitStr, Type, parse_quote};

use crate::errors::Errors;
use crate::handler::{Handler, Kind, Route, parse_guard, word};
use crate::pattern;

const USAGE: &str = "`#[controller]` goes before the impl block of a type: \
                     `#[controller(\"prefix\")] impl Chat { .. }`";

pub(crate) fn expand(arguments: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Ok(mut block) = syn::parse2::<ItemImpl>(item.clone()) else {
        errors.at(Span::call_site(), USAGE);
        let errors = errors.into_code();
        return quote!(#errors #item);
    };
    let prefix = parse_prefix(arguments, &mut errors);
    check_block(&block, &mut errors);
    let guards = take_guards(&mut block, &mut errors);
    let handlers = take_handlers(&mut block, &prefix, &mut errors);
    if !errors.is_empty() {
        // The handlers are there but in no table: that they look unused is no news.
        block
            .attrs
            .push(parse_quote!(#[allow(dead_code, reason = "the controller has errors")]));
        let table = table(&block.self_ty, &prefix, &[]);
        let errors = errors.into_code();
        return quote!(#errors #block #table);
    }
    let entries = entries(&block.self_ty, &handlers, &guards);
    let table = table(&block.self_ty, &prefix, &handlers);
    quote!(#block #entries #table)
}

fn parse_prefix(arguments: TokenStream, errors: &mut Errors) -> String {
    if arguments.is_empty() {
        return String::new();
    }
    let Ok(prefix) = syn::parse2::<LitStr>(arguments.clone()) else {
        errors.on(
            arguments,
            "`#[controller]` takes the prefix of its paths: `#[controller(\"chat\")]`",
        );
        return String::new();
    };
    if let Err(problem) = pattern::names(&prefix.value()) {
        errors.on(&prefix, problem);
    }
    prefix.value()
}

fn check_block(block: &ItemImpl, errors: &mut Errors) {
    if let Some((_, path, _)) = &block.trait_ {
        errors.on(path, format!("this implements a trait; {USAGE}"));
    }
    if !block.generics.params.is_empty() {
        errors.on(
            &block.generics,
            "a controller cannot be generic: the host knows no type to choose",
        );
    }
}

fn take_guards(block: &mut ItemImpl, errors: &mut Errors) -> Vec<Expr> {
    let (guards, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut block.attrs)
        .into_iter()
        .partition(|attribute| word(attribute).as_deref() == Some("guard"));
    block.attrs = rest;
    guards
        .iter()
        .filter_map(|guard| parse_guard(guard, errors))
        .collect()
}

fn take_handlers(block: &mut ItemImpl, prefix: &str, errors: &mut Errors) -> Vec<Handler> {
    let mut handlers = Vec::new();
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else { continue };
        if let Some(handler) = Handler::take(method, prefix, errors) {
            method.attrs.push(parse_quote! {
                #[allow(
                    clippy::needless_pass_by_value,
                    clippy::too_many_arguments,
                    clippy::unnecessary_wraps,
                    clippy::unused_self,
                    reason = "a handler's signature says what it is given, not what it needs"
                )]
            });
            handlers.push(handler);
        }
    }
    handlers
}

/// The functions that the table points to, and the one that finds the controller.
fn entries(controller: &Type, handlers: &[Handler], guards: &[Expr]) -> TokenStream {
    let entries = handlers.iter().map(|handler| handler.code(guards));
    let at = Span::call_site().located_at(controller.span());
    let instance = handlers.iter().any(|handler| handler.takes_self).then(|| {
        quote_spanned! {at=>
            #[doc(hidden)]
            fn __wardroom_instance<R>(run: impl FnOnce(&Self) -> R) -> R {
                ::wardroom_sdk::__with_instance!(#controller, run)
            }
        }
    });
    quote! {
        #[automatically_derived]
        impl #controller {
            #instance
            #(#entries)*
        }
    }
}

/// The implementation of `Controller`: which handlers there are.
fn table(controller: &Type, prefix: &str, handlers: &[Handler]) -> TokenStream {
    let private = &quote!(::wardroom_sdk::__private);
    let routes = handlers.iter().flat_map(|handler| {
        handler.routes.iter().map(move |route| {
            let (cfgs, entry, Route { event, path }) = (&handler.cfgs, handler.entry(), route);
            quote! {
                #(#cfgs)*
                #private::RouteSpec { event: #event, path: #path, handle: Self::#entry }
            }
        })
    });
    let hooks = |kind: Kind| {
        let hooks = handlers
            .iter()
            .filter(move |handler| handler.kind == kind)
            .map(|handler| {
                let (cfgs, entry) = (&handler.cfgs, handler.entry());
                quote!(#(#cfgs)* Self::#entry)
            });
        quote!(&[#(#hooks),*])
    };
    let (upgrade, connect, disconnect) = (
        hooks(Kind::Upgrade),
        hooks(Kind::Connect),
        hooks(Kind::Disconnect),
    );
    quote! {
        #[automatically_derived]
        impl ::wardroom_sdk::Controller for #controller {
            const SPEC: #private::ControllerSpec = #private::ControllerSpec {
                prefix: #prefix,
                routes: &[#(#routes),*],
                upgrade: #upgrade,
                connect: #connect,
                disconnect: #disconnect,
            };
        }
    }
}
