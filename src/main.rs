//! The `boxwright` program.

fn main() -> std::process::ExitCode {
    boxwright::main()
}
