//! The macros of `wardroom-sdk`, which documents them where it re-exports them: there the examples
//! compile.
//!
//! An attribute of a handler is read by `#[controller]`, which takes it away. Those that are macros
//! here are so for the sake of one that stands where no controller sees it.

mod argument;
mod controller;
mod errors;
mod handler;
mod pattern;
mod plugin;

use proc_macro::TokenStream;
use proc_macro2::Span;
use quote::quote;

#[proc_macro_attribute]
pub fn controller(arguments: TokenStream, item: TokenStream) -> TokenStream {
    controller::expand(arguments.into(), &item.into()).into()
}

#[proc_macro]
pub fn plugin(input: TokenStream) -> TokenStream {
    plugin::expand(input.into()).into()
}

macro_rules! inside_controllers {
    ($($name:ident: $advice:literal;)*) => {$(
        #[proc_macro_attribute]
        pub fn $name(_: TokenStream, item: TokenStream) -> TokenStream {
            misplaced(concat!("`#[", stringify!($name), "]` ", $advice), item)
        }
    )*};
}

inside_controllers! {
    message: "goes before a method in an impl block marked `#[controller]`";
    upgrade: "goes before a method in an impl block marked `#[controller]`";
    connect: "goes before a method in an impl block marked `#[controller]`";
    disconnect: "goes before a method in an impl block marked `#[controller]`";
    guard: "goes before a method in an impl block marked `#[controller]`, or between the two";
}

fn misplaced(advice: &str, item: TokenStream) -> TokenStream {
    let error = syn::Error::new(Span::call_site(), advice).into_compile_error();
    let item = proc_macro2::TokenStream::from(item);
    quote!(#error #item).into()
}
