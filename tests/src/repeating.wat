;; The manifest lies in memory as the contract's types have it; `plugin.rs` writes its bytes.
(component
  (core module $code
    (memory (export "memory") $PAGES)
    (func (export "describe") (result i32) (i32.const 1024))
    (data (i32.const 0) "$NAME")
    (data (i32.const 1024) "$RECORD")
    (data (i32.const 4096) "$LIST")
    $START)
  (core instance $code (instantiate $code))
  (type $route' (record (field "event" string) (field "path" string)))
  (type $manifest' (record
    (field "name" string) (field "version" string) (field "description" string) (field "routes" (list $route'))
    (field "hooks" (list string)) (field "mode" (option string)) (field "capabilities" (list string))
    (field "config-keys" (list string)) (field "headers" (list string)) (field "extra" (list (tuple string string)))))
  (func $describe' (result $manifest') (canon lift (core func $code "describe") (memory (core memory $code "memory"))))
  ;; What an instance exports must have names for its types, which only another component can give them.
  (component $named
    (type $route' (record (field "event" string) (field "path" string)))
    (import "a" (type $route (eq $route')))
    (type $manifest' (record
      (field "name" string) (field "version" string) (field "description" string) (field "routes" (list $route))
      (field "hooks" (list string)) (field "mode" (option string)) (field "capabilities" (list string))
      (field "config-keys" (list string)) (field "headers" (list string)) (field "extra" (list (tuple string string)))))
    (import "b" (type $manifest (eq $manifest')))
    (import "describe" (func $describe (result $manifest)))
    (export $route-out "route" (type $route))
    (type $manifest'' (record
      (field "name" string) (field "version" string) (field "description" string) (field "routes" (list $route-out))
      (field "hooks" (list string)) (field "mode" (option string)) (field "capabilities" (list string))
      (field "config-keys" (list string)) (field "headers" (list string)) (field "extra" (list (tuple string string)))))
    (export $manifest-out "manifest" (type $manifest''))
    (export "describe" (func $describe) (func (result $manifest-out))))
  (instance $named (instantiate $named
    (with "a" (type $route')) (with "b" (type $manifest')) (with "describe" (func $describe'))))
  (export "wardroom:plugin/manifest@0.1.0" (instance $named)))
