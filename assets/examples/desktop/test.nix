# The desktop with a test: `diorama test test.nix`. What is typed is read from the picture of the display, and the text
# console behind it answers too.
import ./network.nix // {
  name = "desktop";

  testScript = ''
    start_all()

    with subtest("a window opens"):
        desktop.wait_for_x()
        desktop.wait_for_window("Terminal", timeout=300)
        desktop.wait_for_text("desktop:~", timeout=300)

    with subtest("keys reach it"):
        desktop.send_chars("echo $((6 * 7)) windows > /tmp/typed; cat /tmp/typed\n")
        desktop.wait_for_file("/tmp/typed", timeout=120)
        desktop.wait_for_text("(?m)^42 windows", timeout=120)
        desktop.screenshot("desktop")

    with subtest("the text console behind it"):
        desktop.send_key("ctrl-alt-f1")
        desktop.wait_until_tty_matches("1", "desktop login: ", timeout=120)
        desktop.send_chars("nobody\n")
        desktop.wait_until_tty_matches("1", "Password: ", timeout=120)
        desktop.send_key("ctrl-alt-f7")
        desktop.wait_for_text("42 windows", timeout=120)
  '';
}
