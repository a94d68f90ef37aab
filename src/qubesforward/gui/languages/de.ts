<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de" sourcelanguage="en">
<context>
    <name>CloseAll</name>
    <message>
        <source>Close all forwarded ports of all qubes? Connections through them are cut at once, and the forwards are removed for good.</source>
        <translation>Alle weitergeleiteten Ports aller Qubes schließen? Verbindungen darüber werden sofort getrennt und die Weiterleitungen endgültig entfernt.</translation>
    </message>
    <message>
        <source>Close everything</source>
        <translation>Alles schließen</translation>
    </message>
</context>
<context>
    <name>DurationBox</name>
    <message>
        <source>1 day</source>
        <translation>1 Tag</translation>
    </message>
    <message>
        <source>1 hour</source>
        <translation>1 Stunde</translation>
    </message>
    <message>
        <source>10 minutes</source>
        <translation>10 Minuten</translation>
    </message>
    <message>
        <source>2h30m, 18:30 or 2026-12-24 18:30</source>
        <translation>2h30m, 18:30 oder 2026-12-24 18:30</translation>
    </message>
    <message>
        <source>8 hours</source>
        <translation>8 Stunden</translation>
    </message>
    <message>
        <source>Other duration, or end</source>
        <translation>Andere Dauer oder anderes Ende</translation>
    </message>
    <message>
        <source>for good, until you remove it</source>
        <translation>dauerhaft, bis Sie es entfernen</translation>
    </message>
    <message>
        <source>other…</source>
        <translation>andere …</translation>
    </message>
    <message>
        <source>until this computer is restarted</source>
        <translation>bis zum Neustart dieses Computers</translation>
    </message>
    <message>
        <source>until {0}, as it is</source>
        <translation>bis {0}, wie bisher</translation>
    </message>
</context>
<context>
    <name>Exposures</name>
    <message>
        <source>Age</source>
        <translation>Alter</translation>
    </message>
    <message>
        <source>Last minutes</source>
        <translation>Letzte Minuten</translation>
    </message>
    <message>
        <source>No port is open now.</source>
        <translation>Zurzeit ist kein Port offen.</translation>
    </message>
    <message>
        <source>No port is open.</source>
        <translation>Kein Port ist offen.</translation>
    </message>
    <message>
        <source>One port is open.</source>
        <translation>Ein Port ist offen.</translation>
    </message>
    <message>
        <source>Qube and port</source>
        <translation>Qube und Port</translation>
    </message>
    <message>
        <source>Reaches</source>
        <translation>Reicht bis</translation>
    </message>
    <message>
        <source>The internet reaches {0}.</source>
        <translation>Aus dem Internet erreichbar: {0}.</translation>
    </message>
    <message>
        <source>Wanted, but not open: {0}.</source>
        <translation>Gewünscht, aber nicht offen: {0}.</translation>
    </message>
    <message>
        <source>internet</source>
        <translation>Internet</translation>
    </message>
    <message>
        <source>internet, if it can</source>
        <translation>Internet, wenn möglich</translation>
    </message>
    <message>
        <source>local (carrier's NAT)</source>
        <translation>lokal (NAT des Anbieters)</translation>
    </message>
    <message>
        <source>local (no router)</source>
        <translation>lokal (kein Router)</translation>
    </message>
    <message>
        <source>local (router says no)</source>
        <translation>lokal (Router lehnt ab)</translation>
    </message>
    <message>
        <source>local network</source>
        <translation>lokales Netz</translation>
    </message>
    <message>
        <source>other qubes</source>
        <translation>andere Qubes</translation>
    </message>
    <message>
        <source>other qubes, VPN</source>
        <translation>andere Qubes, VPN</translation>
    </message>
    <message>
        <source>{0} of {1} open</source>
        <translation>{0} von {1} offen</translation>
    </message>
    <message>
        <source>{0} ports of one qube are open.</source>
        <translation>{0} Ports eines Qubes sind offen.</translation>
    </message>
    <message>
        <source>{0} ports of {1} qubes are open.</source>
        <translation>{0} Ports von {1} Qubes sind offen.</translation>
    </message>
</context>
<context>
    <name>ExposuresTree</name>
    <message>
        <source>Open ports of this computer</source>
        <translation>Offene Ports dieses Computers</translation>
    </message>
</context>
<context>
    <name>FirewallPage</name>
    <message>
        <source>Outbound: what {0} may connect to</source>
        <translation>Ausgehend: wohin {0} sich verbinden darf</translation>
    </message>
    <message>
        <source>The rules are not saved: {0}</source>
        <translation>Die Regeln sind nicht gespeichert: {0}</translation>
    </message>
</context>
<context>
    <name>ForwardDialog</name>
    <message>
        <source>&amp;Wait until the port is free</source>
        <translation>Warten, bis der Port &amp;frei ist</translation>
    </message>
    <message>
        <source>Change</source>
        <translation>Ändern</translation>
    </message>
    <message>
        <source>Change a port of {0}</source>
        <translation>Einen Port von {0} ändern</translation>
    </message>
    <message>
        <source>Open a port of {0}</source>
        <translation>Einen Port von {0} öffnen</translation>
    </message>
    <message>
        <source>Open the port</source>
        <translation>Port öffnen</translation>
    </message>
    <message>
        <source>Something above cannot be read yet.</source>
        <translation>Eine Angabe oben ist noch nicht lesbar.</translation>
    </message>
    <message>
        <source>There is no tunnel now: until there is, only qubes can connect.</source>
        <translation>Zurzeit gibt es keinen Tunnel: bis dahin können sich nur Qubes verbinden.</translation>
    </message>
    <message>
        <source>To limit who, see the details.</source>
        <translation>Wer sich verbinden darf, lässt sich unter Details einschränken.</translation>
    </message>
    <message>
        <source>What will happen</source>
        <translation>Was geschehen wird</translation>
    </message>
    <message>
        <source>Which port do you want to open?</source>
        <translation>Welchen Port möchten Sie öffnen?</translation>
    </message>
</context>
<context>
    <name>ForwardForm</name>
    <message>
        <source>&amp;Port or service:</source>
        <translation>&amp;Port oder Dienst:</translation>
    </message>
    <message>
        <source>&amp;Who may connect:</source>
        <translation>Wer da&amp;rf sich verbinden:</translation>
    </message>
    <message>
        <source>Also for &amp;disposables made from it</source>
        <translation>Auch für &amp;Disposables, die daraus entstehen</translation>
    </message>
    <message>
        <source>Also from the &amp;internet: ask the router</source>
        <translation>Auch aus dem &amp;Internet: den Router bitten</translation>
    </message>
    <message>
        <source>C&amp;omment:</source>
        <translation>K&amp;ommentar:</translation>
    </message>
    <message>
        <source>De&amp;tails</source>
        <translation>De&amp;tails</translation>
    </message>
    <message>
        <source>Even &amp;past a VPN's tunnel on the way</source>
        <translation>Auch am Tunnel eines VPN vor&amp;bei</translation>
    </message>
    <message>
        <source>For &amp;how long:</source>
        <translation>&amp;Wie lange:</translation>
    </message>
    <message>
        <source>Port i&amp;n {0}:</source>
        <translation>Port i&amp;n {0}:</translation>
    </message>
    <message>
        <source>Protocol</source>
        <translation>Protokoll</translation>
    </message>
    <message>
        <source>Share through this qube's &amp;VPN</source>
        <translation>Über das &amp;VPN dieses Qubes freigeben</translation>
    </message>
    <message>
        <source>Share with my &amp;local network</source>
        <translation>Im &amp;lokalen Netz freigeben</translation>
    </message>
    <message>
        <source>Share with other &amp;qubes here</source>
        <translation>Für andere &amp;Qubes hier freigeben</translation>
    </message>
    <message>
        <source>anyone; or 192.0.2.7, 192.0.2.0/24</source>
        <translation>alle; oder 192.0.2.7, 192.0.2.0/24</translation>
    </message>
    <message>
        <source>computers and phones near this one</source>
        <translation>Computer und Telefone in der Nähe</translation>
    </message>
    <message>
        <source>https, 8080 or 8000-8010</source>
        <translation>https, 8080 oder 8000-8010</translation>
    </message>
    <message>
        <source>the same</source>
        <translation>derselbe</translation>
    </message>
    <message>
        <source>those that have the same networking qube</source>
        <translation>solche mit demselben Netz-Qube</translation>
    </message>
    <message>
        <source>whoever is at the other end of its tunnel</source>
        <translation>wer am anderen Ende seines Tunnels ist</translation>
    </message>
</context>
<context>
    <name>Forwards</name>
    <message>
        <source>Comment</source>
        <translation>Kommentar</translation>
    </message>
    <message>
        <source>From</source>
        <translation>Von</translation>
    </message>
    <message>
        <source>Origin</source>
        <translation>Herkunft</translation>
    </message>
    <message>
        <source>Port</source>
        <translation>Port</translation>
    </message>
    <message>
        <source>Protocol</source>
        <translation>Protokoll</translation>
    </message>
    <message>
        <source>State</source>
        <translation>Zustand</translation>
    </message>
    <message>
        <source>Traffic</source>
        <translation>Verkehr</translation>
    </message>
    <message>
        <source>Until</source>
        <translation>Bis</translation>
    </message>
    <message>
        <source>Who</source>
        <translation>Wer</translation>
    </message>
    <message>
        <source>a program</source>
        <translation>ein Programm</translation>
    </message>
    <message>
        <source>internet</source>
        <translation>Internet</translation>
    </message>
    <message>
        <source>local network</source>
        <translation>lokales Netz</translation>
    </message>
    <message>
        <source>other qubes</source>
        <translation>andere Qubes</translation>
    </message>
    <message>
        <source>restart</source>
        <translation>Neustart</translation>
    </message>
    <message>
        <source>you</source>
        <translation>Sie</translation>
    </message>
    <message>
        <source>you remove it</source>
        <translation>Sie es entfernen</translation>
    </message>
</context>
<context>
    <name>ForwardsArea</name>
    <message>
        <source>Port forwarding: who may connect to {0}</source>
        <translation>Portweiterleitung: wer sich mit {0} verbinden darf</translation>
    </message>
</context>
<context>
    <name>ForwardsPane</name>
    <message>
        <source>1 day</source>
        <translation>1 Tag</translation>
    </message>
    <message>
        <source>1 hour</source>
        <translation>1 Stunde</translation>
    </message>
    <message>
        <source>10 minutes</source>
        <translation>10 Minuten</translation>
    </message>
    <message>
        <source>8 hours</source>
        <translation>8 Stunden</translation>
    </message>
    <message>
        <source>Change the forwarded port</source>
        <translation>Den weitergeleiteten Port ändern</translation>
    </message>
    <message>
        <source>Change…</source>
        <translation>Ändern …</translation>
    </message>
    <message>
        <source>Confirm them</source>
        <translation>Bestätigen</translation>
    </message>
    <message>
        <source>Duplicate the forwarded port</source>
        <translation>Den weitergeleiteten Port kopieren</translation>
    </message>
    <message>
        <source>Duplicate…</source>
        <translation>Kopieren …</translation>
    </message>
    <message>
        <source>Imported, and closed until you confirm them: {0}</source>
        <translation>Importiert, und geschlossen bis zu Ihrer Bestätigung: {0}</translation>
    </message>
    <message>
        <source>No port of {0} is open: nobody can connect to it.</source>
        <translation>Kein Port von {0} ist offen: niemand kann sich damit verbinden.</translation>
    </message>
    <message>
        <source>Nothing can be opened: {0}</source>
        <translation>Es lässt sich nichts öffnen: {0}</translation>
    </message>
    <message>
        <source>Open a port…</source>
        <translation>Port öffnen …</translation>
    </message>
    <message>
        <source>Open for</source>
        <translation>Öffnen für</translation>
    </message>
    <message>
        <source>Open the port for a time</source>
        <translation>Den Port für eine Zeit öffnen</translation>
    </message>
    <message>
        <source>Remove</source>
        <translation>Entfernen</translation>
    </message>
    <message>
        <source>Remove the forwarded ports</source>
        <translation>Die weitergeleiteten Ports entfernen</translation>
    </message>
    <message>
        <source>Rules that cannot be read, and are not used: {0}</source>
        <translation>Nicht lesbare Regeln, die nicht angewandt werden: {0}</translation>
    </message>
    <message>
        <source>The block of UDP ports is not open: {0}</source>
        <translation>Der Block von UDP-Ports ist nicht offen: {0}</translation>
    </message>
    <message>
        <source>These ports were opened for the qube that this one is a copy of. They are closed here until you say otherwise.</source>
        <translation>Diese Ports wurden für den Qube geöffnet, von dem dieser eine Kopie ist. Hier sind sie geschlossen, bis Sie es anders bestimmen.</translation>
    </message>
    <message>
        <source>Use them here</source>
        <translation>Hier verwenden</translation>
    </message>
    <message>
        <source>for good</source>
        <translation>dauerhaft</translation>
    </message>
    <message>
        <source>until this computer is restarted</source>
        <translation>bis zum Neustart dieses Computers</translation>
    </message>
</context>
<context>
    <name>ForwardsTable</name>
    <message>
        <source>Forwarded ports</source>
        <translation>Weitergeleitete Ports</translation>
    </message>
</context>
<context>
    <name>Log</name>
    <message>
        <source>added</source>
        <translation>hinzugefügt</translation>
    </message>
    <message>
        <source>call denied</source>
        <translation>Aufruf abgelehnt</translation>
    </message>
    <message>
        <source>changed</source>
        <translation>geändert</translation>
    </message>
    <message>
        <source>closed</source>
        <translation>geschlossen</translation>
    </message>
    <message>
        <source>copy confirmed</source>
        <translation>Kopie bestätigt</translation>
    </message>
    <message>
        <source>declined</source>
        <translation>abgelehnt</translation>
    </message>
    <message>
        <source>events lost</source>
        <translation>Ereignisse verloren</translation>
    </message>
    <message>
        <source>found open</source>
        <translation>offen vorgefunden</translation>
    </message>
    <message>
        <source>granted</source>
        <translation>gewährt</translation>
    </message>
    <message>
        <source>opened</source>
        <translation>geöffnet</translation>
    </message>
    <message>
        <source>perhaps open</source>
        <translation>vielleicht offen</translation>
    </message>
    <message>
        <source>program asks</source>
        <translation>Programm fragt</translation>
    </message>
    <message>
        <source>refused</source>
        <translation>verweigert</translation>
    </message>
    <message>
        <source>removed</source>
        <translation>entfernt</translation>
    </message>
    <message>
        <source>service started</source>
        <translation>Dienst gestartet</translation>
    </message>
    <message>
        <source>service stopped</source>
        <translation>Dienst beendet</translation>
    </message>
    <message>
        <source>time is over</source>
        <translation>Zeit abgelaufen</translation>
    </message>
</context>
<context>
    <name>LogModel</name>
    <message>
        <source>Details</source>
        <translation>Einzelheiten</translation>
    </message>
    <message>
        <source>Event</source>
        <translation>Ereignis</translation>
    </message>
    <message>
        <source>Forward</source>
        <translation>Weiterleitung</translation>
    </message>
    <message>
        <source>Qube</source>
        <translation>Qube</translation>
    </message>
    <message>
        <source>Time</source>
        <translation>Zeit</translation>
    </message>
</context>
<context>
    <name>LogTable</name>
    <message>
        <source>Audit log</source>
        <translation>Protokoll</translation>
    </message>
</context>
<context>
    <name>OutboundDialog</name>
    <message>
        <source>&amp;Comment:</source>
        <translation>&amp;Kommentar:</translation>
    </message>
    <message>
        <source>&amp;Protocol:</source>
        <translation>&amp;Protokoll:</translation>
    </message>
    <message>
        <source>&amp;Service or port:</source>
        <translation>&amp;Dienst oder Port:</translation>
    </message>
    <message>
        <source>A&amp;ddress:</source>
        <translation>&amp;Adresse:</translation>
    </message>
    <message>
        <source>Add a rule</source>
        <translation>Regel hinzufügen</translation>
    </message>
    <message>
        <source>Edit the rule</source>
        <translation>Regel bearbeiten</translation>
    </message>
    <message>
        <source>any</source>
        <translation>beliebig</translation>
    </message>
    <message>
        <source>example.org, 192.0.2.0/24; empty: any</source>
        <translation>example.org, 192.0.2.0/24; leer: beliebig</translation>
    </message>
    <message>
        <source>https, 443, 8000-8010; empty: any</source>
        <translation>https, 443, 8000-8010; leer: beliebig</translation>
    </message>
</context>
<context>
    <name>OutboundForm</name>
    <message>
        <source> minutes</source>
        <translation> Minuten</translation>
    </message>
    <message>
        <source>&amp;Deny all outgoing connections except</source>
        <translation>Alle ausgehenden Verbindungen &amp;verbieten außer</translation>
    </message>
    <message>
        <source>&amp;Full access for</source>
        <translation>V&amp;oller Zugriff für</translation>
    </message>
    <message>
        <source>&amp;Full access until {0}</source>
        <translation>V&amp;oller Zugriff bis {0}</translation>
    </message>
    <message>
        <source>A&amp;llow all outgoing connections except</source>
        <translation>Alle ausgehenden Verbindungen &amp;erlauben außer</translation>
    </message>
    <message>
        <source>Add an outbound rule</source>
        <translation>Eine ausgehende Regel hinzufügen</translation>
    </message>
    <message>
        <source>Address</source>
        <translation>Adresse</translation>
    </message>
    <message>
        <source>Add…</source>
        <translation>Hinzufügen …</translation>
    </message>
    <message>
        <source>Allow D&amp;NS</source>
        <translation>D&amp;NS erlauben</translation>
    </message>
    <message>
        <source>Allow p&amp;ing</source>
        <translation>P&amp;ing erlauben</translation>
    </message>
    <message>
        <source>Comment</source>
        <translation>Kommentar</translation>
    </message>
    <message>
        <source>Edit the outbound rule</source>
        <translation>Die ausgehende Regel bearbeiten</translation>
    </message>
    <message>
        <source>Edit…</source>
        <translation>Bearbeiten …</translation>
    </message>
    <message>
        <source>Exceptions</source>
        <translation>Ausnahmen</translation>
    </message>
    <message>
        <source>Minutes of full access</source>
        <translation>Minuten vollen Zugriffs</translation>
    </message>
    <message>
        <source>Port</source>
        <translation>Port</translation>
    </message>
    <message>
        <source>Protocol</source>
        <translation>Protokoll</translation>
    </message>
    <message>
        <source>Remove</source>
        <translation>Entfernen</translation>
    </message>
    <message>
        <source>Remove the outbound rule</source>
        <translation>Die ausgehende Regel entfernen</translation>
    </message>
    <message>
        <source>Until</source>
        <translation>Bis</translation>
    </message>
</context>
<context>
    <name>OutboundList</name>
    <message>
        <source>Action</source>
        <translation>Aktion</translation>
    </message>
    <message>
        <source>Address</source>
        <translation>Adresse</translation>
    </message>
    <message>
        <source>Comment</source>
        <translation>Kommentar</translation>
    </message>
    <message>
        <source>Outbound rules, to be read only</source>
        <translation>Ausgehende Regeln, nur zum Lesen</translation>
    </message>
    <message>
        <source>Port</source>
        <translation>Port</translation>
    </message>
    <message>
        <source>Protocol</source>
        <translation>Protokoll</translation>
    </message>
    <message>
        <source>Until</source>
        <translation>Bis</translation>
    </message>
    <message>
        <source>allow</source>
        <translation>erlauben</translation>
    </message>
    <message>
        <source>deny</source>
        <translation>verbieten</translation>
    </message>
</context>
<context>
    <name>OutboundPane</name>
    <message>
        <source>Keep mine</source>
        <translation>Meine behalten</translation>
    </message>
    <message>
        <source>Show the new rules</source>
        <translation>Die neuen Regeln zeigen</translation>
    </message>
    <message>
        <source>The outbound rules were changed by somebody else meanwhile, to {0}. You have changes of your own here that are not saved.</source>
        <translation>Die ausgehenden Regeln wurden inzwischen anderswo geändert, in {0}. Sie haben hier eigene Änderungen, die nicht gespeichert sind.</translation>
    </message>
    <message>
        <source>These rules were made with other tools, and are more than this form can show. They hold, and are not changed here; change them with qvm-firewall.</source>
        <translation>Diese Regeln stammen von anderen Werkzeugen und sind mehr, als dieses Formular zeigen kann. Sie gelten und werden hier nicht geändert; ändern Sie sie mit qvm-firewall.</translation>
    </message>
    <message>
        <source>one rule</source>
        <translation>eine Regel</translation>
    </message>
    <message>
        <source>{0} rules</source>
        <translation>{0} Regeln</translation>
    </message>
</context>
<context>
    <name>Overview</name>
    <message>
        <source>&amp;Log</source>
        <translation>&amp;Protokoll</translation>
    </message>
    <message>
        <source>&amp;Open ports</source>
        <translation>&amp;Offene Ports</translation>
    </message>
    <message>
        <source>All</source>
        <translation>Alle</translation>
    </message>
    <message>
        <source>Asked for by programs</source>
        <translation>Von Programmen erbeten</translation>
    </message>
    <message>
        <source>Choose a port to see who reaches it, and by which way.</source>
        <translation>Wählen Sie einen Port, um zu sehen, wer ihn auf welchem Weg erreicht.</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>Close everything…</source>
        <translation>Alles schließen …</translation>
    </message>
    <message>
        <source>Close the chosen</source>
        <translation>Ausgewählte schließen</translation>
    </message>
    <message>
        <source>Find</source>
        <translation>Suchen</translation>
    </message>
    <message>
        <source>Find a qube, port, address, comment…</source>
        <translation>Qube, Port, Adresse, Kommentar suchen …</translation>
    </message>
    <message>
        <source>Firewall of the qube…</source>
        <translation>Firewall des Qubes …</translation>
    </message>
    <message>
        <source>For the internet</source>
        <translation>Für das Internet</translation>
    </message>
    <message>
        <source>Nothing can be opened: {0}</source>
        <translation>Es lässt sich nichts öffnen: {0}</translation>
    </message>
    <message>
        <source>Open now</source>
        <translation>Jetzt offen</translation>
    </message>
    <message>
        <source>Open ports</source>
        <translation>Offene Ports</translation>
    </message>
    <message>
        <source>The log cannot be written: {0}</source>
        <translation>Das Protokoll lässt sich nicht schreiben: {0}</translation>
    </message>
    <message>
        <source>There is more, and older, in the file.</source>
        <translation>Mehr und Älteres steht in der Datei.</translation>
    </message>
    <message>
        <source>Wanted, but not open</source>
        <translation>Gewünscht, aber nicht offen</translation>
    </message>
    <message>
        <source>What is shown may be out of date, and nothing can be changed now: {0}. It is looked for all the time.</source>
        <translation>Das Gezeigte ist vielleicht veraltet, und zurzeit lässt sich nichts ändern: {0}. Die Verbindung wird laufend neu versucht.</translation>
    </message>
    <message>
        <source>Which are shown</source>
        <translation>Welche gezeigt werden</translation>
    </message>
</context>
<context>
    <name>PathPicture</name>
    <message>
        <source>Path of the forward</source>
        <translation>Weg der Weiterleitung</translation>
    </message>
    <message>
        <source>Pictures (*.svg *.png)</source>
        <translation>Bilder (*.svg *.png)</translation>
    </message>
    <message>
        <source>Save the picture</source>
        <translation>Bild speichern</translation>
    </message>
    <message>
        <source>Save the picture…</source>
        <translation>Bild speichern …</translation>
    </message>
    <message>
        <source>The picture cannot be written there.</source>
        <translation>Das Bild lässt sich dort nicht schreiben.</translation>
    </message>
</context>
<context>
    <name>PathView</name>
    <message>
        <source>About the chosen place</source>
        <translation>Über die gewählte Stelle</translation>
    </message>
</context>
<context>
    <name>PortmapBox</name>
    <message>
        <source>&amp;NAT traversal: programs that ask for ports</source>
        <translation>&amp;NAT-Durchquerung: Programme, die um Ports bitten</translation>
    </message>
    <message>
        <source>Allow</source>
        <translation>Erlauben</translation>
    </message>
    <message>
        <source>Ask me each time</source>
        <translation>Jedes Mal fragen</translation>
    </message>
    <message>
        <source>NAT traversal</source>
        <translation>NAT-Durchquerung</translation>
    </message>
    <message>
        <source>Nobody is asked: while the qube runs, whatever uses one of these ports is open to everybody on the local network, and on the internet if the router agrees.</source>
        <translation>Niemand wird gefragt: solange der Qube läuft, ist alles, was einen dieser Ports benutzt, für alle im lokalen Netz offen, und im Internet, wenn der Router zustimmt.</translation>
    </message>
    <message>
        <source>Nobody is asked: while the qube runs, whatever uses one of these ports is open to everybody on the local network.</source>
        <translation>Niemand wird gefragt: solange der Qube läuft, ist alles, was einen dieser Ports benutzt, für alle im lokalen Netz offen.</translation>
    </message>
    <message>
        <source>Off: they get none</source>
        <translation>Aus: sie bekommen keine</translation>
    </message>
    <message>
        <source>Open for programs now: {0}</source>
        <translation>Zurzeit offen für Programme: {0}</translation>
    </message>
    <message>
        <source>Open unasked (UDP):</source>
        <translation>Ungefragt offen (UDP):</translation>
    </message>
    <message>
        <source>Ports</source>
        <translation>Ports</translation>
    </message>
    <message>
        <source>They are closed as long as NAT traversal is off.</source>
        <translation>Sie sind geschlossen, solange die NAT-Durchquerung aus ist.</translation>
    </message>
    <message>
        <source>They are closed, too, if outbound rules do not allow everything.</source>
        <translation>Sie sind auch geschlossen, wenn die ausgehenden Regeln nicht alles erlauben.</translation>
    </message>
    <message>
        <source>They may have:</source>
        <translation>Sie dürfen haben:</translation>
    </message>
    <message>
        <source>Which ports programs may have</source>
        <translation>Welche Ports Programme haben dürfen</translation>
    </message>
    <message>
        <source>also from the in&amp;ternet</source>
        <translation>auch aus dem In&amp;ternet</translation>
    </message>
    <message>
        <source>none; or 40000-40015</source>
        <translation>keine; oder 40000-40015</translation>
    </message>
</context>
<context>
    <name>Prompt</name>
    <message>
        <source>Every device of the local network, and the whole internet if your router agrees.</source>
        <translation>Jedes Gerät im lokalen Netz, und das ganze Internet, wenn Ihr Router zustimmt.</translation>
    </message>
    <message>
        <source>Every device of the local network.</source>
        <translation>Jedes Gerät im lokalen Netz.</translation>
    </message>
    <message>
        <source>May others connect to port {0} ({1}) of {2}?</source>
        <translation>Dürfen andere sich mit Port {0} ({1}) von {2} verbinden?</translation>
    </message>
    <message>
        <source>One more question waits.</source>
        <translation>Eine weitere Frage wartet.</translation>
    </message>
    <message>
        <source>Without an answer: no, in {0} s.</source>
        <translation>Ohne Antwort: nein, in {0} s.</translation>
    </message>
    <message>
        <source>any that is free</source>
        <translation>irgendein freier</translation>
    </message>
    <message>
        <source>{0} if that is free</source>
        <translation>{0}, wenn er frei ist</translation>
    </message>
    <message>
        <source>{0} more questions wait.</source>
        <translation>{0} weitere Fragen warten.</translation>
    </message>
</context>
<context>
    <name>PromptWindow</name>
    <message>
        <source>A program asks for a port</source>
        <translation>Ein Programm bittet um einen Port</translation>
    </message>
    <message>
        <source>Allow all until restart</source>
        <translation>Alle bis zum Neustart</translation>
    </message>
    <message>
        <source>Allow this port</source>
        <translation>Diesen Port erlauben</translation>
    </message>
    <message>
        <source>Always allow all</source>
        <translation>Alle, immer</translation>
    </message>
    <message>
        <source>Asked by:</source>
        <translation>Gefragt über:</translation>
    </message>
    <message>
        <source>Deny</source>
        <translation>Ablehnen</translation>
    </message>
    <message>
        <source>Label: {0}</source>
        <translation>Farbe: {0}</translation>
    </message>
    <message>
        <source>Never ask again</source>
        <translation>Nie wieder fragen</translation>
    </message>
    <message>
        <source>No, and programs of this qube get no ports at all</source>
        <translation>Nein, und Programme dieses Qubes bekommen gar keine Ports</translation>
    </message>
    <message>
        <source>No; this qube may ask again after a while</source>
        <translation>Nein; dieser Qube darf nach einer Weile wieder fragen</translation>
    </message>
    <message>
        <source>Nobody vouches for what a program calls itself</source>
        <translation>Niemand bürgt dafür, wie ein Programm sich nennt</translation>
    </message>
    <message>
        <source>Outer port:</source>
        <translation>Äußerer Port:</translation>
    </message>
    <message>
        <source>The program's own words:</source>
        <translation>Das Programm selbst sagt:</translation>
    </message>
    <message>
        <source>This port only, for as long as the program keeps it</source>
        <translation>Nur diesen Port, solange das Programm ihn behält</translation>
    </message>
    <message>
        <source>Time left</source>
        <translation>Verbleibende Zeit</translation>
    </message>
    <message>
        <source>Whatever programs of this qube ask for, for good</source>
        <translation>Alles, worum Programme dieses Qubes bitten, dauerhaft</translation>
    </message>
    <message>
        <source>Whatever programs of this qube ask for, until this computer restarts</source>
        <translation>Alles, worum Programme dieses Qubes bitten, bis zum Neustart dieses Computers</translation>
    </message>
    <message>
        <source>Who could connect:</source>
        <translation>Wer sich verbinden könnte:</translation>
    </message>
    <message>
        <source>none</source>
        <translation>nichts</translation>
    </message>
</context>
<context>
    <name>QAbstractSpinBox</name>
    <message>
        <source>&amp;Select All</source>
        <translation>&amp;Alles auswählen</translation>
    </message>
    <message>
        <source>&amp;Step up</source>
        <translation>&amp;Höher</translation>
    </message>
    <message>
        <source>Step &amp;down</source>
        <translation>&amp;Niedriger</translation>
    </message>
</context>
<context>
    <name>QFileDialog</name>
    <message>
        <source>%1
Directory not found.
Please verify the correct directory name was given.</source>
        <translation>%1
Dieses Verzeichnis gibt es nicht.
Bitte den Namen prüfen.</translation>
    </message>
    <message>
        <source>%1 already exists.
Do you want to replace it?</source>
        <translation>%1 gibt es schon.
Ersetzen?</translation>
    </message>
    <message>
        <source>&amp;Delete</source>
        <translation>&amp;Löschen</translation>
    </message>
    <message>
        <source>&amp;New Folder</source>
        <translation>&amp;Neuer Ordner</translation>
    </message>
    <message>
        <source>&amp;Open</source>
        <translation>&amp;Öffnen</translation>
    </message>
    <message>
        <source>&amp;Rename</source>
        <translation>&amp;Umbenennen</translation>
    </message>
    <message>
        <source>&amp;Save</source>
        <translation>&amp;Speichern</translation>
    </message>
    <message>
        <source>All Files (*)</source>
        <translation>Alle Dateien (*)</translation>
    </message>
    <message>
        <source>Back</source>
        <translation>Zurück</translation>
    </message>
    <message>
        <source>Change to detail view mode</source>
        <translation>Einzelheiten anzeigen</translation>
    </message>
    <message>
        <source>Change to list view mode</source>
        <translation>Als Liste anzeigen</translation>
    </message>
    <message>
        <source>Create New Folder</source>
        <translation>Neuen Ordner anlegen</translation>
    </message>
    <message>
        <source>Create a New Folder</source>
        <translation>Einen neuen Ordner anlegen</translation>
    </message>
    <message>
        <source>Detail View</source>
        <translation>Einzelheiten</translation>
    </message>
    <message>
        <source>File &amp;name:</source>
        <translation>Datei&amp;name:</translation>
    </message>
    <message>
        <source>Files</source>
        <translation>Dateien</translation>
    </message>
    <message>
        <source>Files of type:</source>
        <translation>Dateityp:</translation>
    </message>
    <message>
        <source>Forward</source>
        <translation>Vorwärts</translation>
    </message>
    <message>
        <source>Go back</source>
        <translation>Zurück gehen</translation>
    </message>
    <message>
        <source>Go forward</source>
        <translation>Vorwärts gehen</translation>
    </message>
    <message>
        <source>Go to the parent directory</source>
        <translation>Zum übergeordneten Verzeichnis</translation>
    </message>
    <message>
        <source>List View</source>
        <translation>Liste</translation>
    </message>
    <message>
        <source>List of places and bookmarks</source>
        <translation>Orte und Lesezeichen</translation>
    </message>
    <message>
        <source>Look in:</source>
        <translation>Suchen in:</translation>
    </message>
    <message>
        <source>Open</source>
        <translation>Öffnen</translation>
    </message>
    <message>
        <source>Parent Directory</source>
        <translation>Übergeordnetes Verzeichnis</translation>
    </message>
    <message>
        <source>Save As</source>
        <translation>Speichern unter</translation>
    </message>
    <message>
        <source>Show </source>
        <translation>Anzeigen: </translation>
    </message>
    <message>
        <source>Show &amp;hidden files</source>
        <translation>&amp;Versteckte Dateien anzeigen</translation>
    </message>
    <message>
        <source>Sidebar</source>
        <translation>Seitenleiste</translation>
    </message>
</context>
<context>
    <name>QFileSystemModel</name>
    <message>
        <source>Computer</source>
        <translation>Computer</translation>
    </message>
    <message>
        <source>Date Modified</source>
        <translation>Geändert</translation>
    </message>
    <message>
        <source>Name</source>
        <translation>Name</translation>
    </message>
    <message>
        <source>Size</source>
        <translation>Größe</translation>
    </message>
    <message>
        <source>Type</source>
        <translation>Art</translation>
    </message>
</context>
<context>
    <name>QLineEdit</name>
    <message>
        <source>&amp;Copy</source>
        <translation>&amp;Kopieren</translation>
    </message>
    <message>
        <source>&amp;Paste</source>
        <translation>E&amp;infügen</translation>
    </message>
    <message>
        <source>&amp;Redo</source>
        <translation>&amp;Wiederholen</translation>
    </message>
    <message>
        <source>&amp;Undo</source>
        <translation>&amp;Rückgängig</translation>
    </message>
    <message>
        <source>Cu&amp;t</source>
        <translation>&amp;Ausschneiden</translation>
    </message>
    <message>
        <source>Delete</source>
        <translation>Löschen</translation>
    </message>
    <message>
        <source>Select All</source>
        <translation>Alles auswählen</translation>
    </message>
</context>
<context>
    <name>QPlatformTheme</name>
    <message>
        <source>&amp;No</source>
        <translation>&amp;Nein</translation>
    </message>
    <message>
        <source>&amp;Yes</source>
        <translation>&amp;Ja</translation>
    </message>
    <message>
        <source>Apply</source>
        <translation>Anwenden</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>Discard</source>
        <translation>Verwerfen</translation>
    </message>
    <message>
        <source>OK</source>
        <translation>OK</translation>
    </message>
    <message>
        <source>Open</source>
        <translation>Öffnen</translation>
    </message>
    <message>
        <source>Save</source>
        <translation>Speichern</translation>
    </message>
</context>
<context>
    <name>QScrollBar</name>
    <message>
        <source>Bottom</source>
        <translation>Unten</translation>
    </message>
    <message>
        <source>Left edge</source>
        <translation>Linker Rand</translation>
    </message>
    <message>
        <source>Page down</source>
        <translation>Seite nach unten</translation>
    </message>
    <message>
        <source>Page left</source>
        <translation>Seite nach links</translation>
    </message>
    <message>
        <source>Page right</source>
        <translation>Seite nach rechts</translation>
    </message>
    <message>
        <source>Page up</source>
        <translation>Seite nach oben</translation>
    </message>
    <message>
        <source>Right edge</source>
        <translation>Rechter Rand</translation>
    </message>
    <message>
        <source>Scroll down</source>
        <translation>Nach unten</translation>
    </message>
    <message>
        <source>Scroll here</source>
        <translation>Hierher</translation>
    </message>
    <message>
        <source>Scroll left</source>
        <translation>Nach links</translation>
    </message>
    <message>
        <source>Scroll right</source>
        <translation>Nach rechts</translation>
    </message>
    <message>
        <source>Scroll up</source>
        <translation>Nach oben</translation>
    </message>
    <message>
        <source>Top</source>
        <translation>Oben</translation>
    </message>
</context>
<context>
    <name>QShortcut</name>
    <message>
        <source>Ctrl</source>
        <translation>Strg</translation>
    </message>
    <message>
        <source>Del</source>
        <translation>Entf</translation>
    </message>
</context>
<context>
    <name>QTabBar</name>
    <message>
        <source>Scroll Left</source>
        <translation>Nach links</translation>
    </message>
    <message>
        <source>Scroll Right</source>
        <translation>Nach rechts</translation>
    </message>
</context>
<context>
    <name>QWidgetTextControl</name>
    <message>
        <source>&amp;Copy</source>
        <translation>&amp;Kopieren</translation>
    </message>
    <message>
        <source>Copy &amp;Link Location</source>
        <translation>&amp;Link kopieren</translation>
    </message>
    <message>
        <source>Select All</source>
        <translation>Alles auswählen</translation>
    </message>
</context>
<context>
    <name>SettingsWindow</name>
    <message>
        <source>&amp;Firewall rules</source>
        <translation>&amp;Firewall-Regeln</translation>
    </message>
    <message>
        <source>Settings: {0}</source>
        <translation>Einstellungen: {0}</translation>
    </message>
    <message>
        <source>The outbound rules have changes that are not saved.</source>
        <translation>Die ausgehenden Regeln haben Änderungen, die nicht gespeichert sind.</translation>
    </message>
</context>
<context>
    <name>State</name>
    <message>
        <source>no way</source>
        <translation>kein Weg</translation>
    </message>
    <message>
        <source>not confirmed</source>
        <translation>nicht bestätigt</translation>
    </message>
    <message>
        <source>open</source>
        <translation>offen</translation>
    </message>
    <message>
        <source>open, no service</source>
        <translation>offen, kein Dienst</translation>
    </message>
    <message>
        <source>opening…</source>
        <translation>wird geöffnet …</translation>
    </message>
    <message>
        <source>opening… {0} of {1}</source>
        <translation>wird geöffnet … {0} von {1}</translation>
    </message>
    <message>
        <source>over</source>
        <translation>vorbei</translation>
    </message>
    <message>
        <source>port taken</source>
        <translation>Port belegt</translation>
    </message>
    <message>
        <source>refused</source>
        <translation>verweigert</translation>
    </message>
    <message>
        <source>waiting</source>
        <translation>wartet</translation>
    </message>
</context>
<context>
    <name>Told</name>
    <message>
        <source> (did you mean --for {0}?)</source>
        <translation> (war --for {0} gemeint?)</translation>
    </message>
    <message>
        <source>Admin API: a call has at most {0} bytes</source>
        <translation>Admin API: ein Aufruf hat höchstens {0} Byte</translation>
    </message>
    <message>
        <source>Admin API: a call without end of its header</source>
        <translation>Admin API: ein Aufruf, dessen Kopf nicht endet</translation>
    </message>
    <message>
        <source>Admin API: a header has four words</source>
        <translation>Admin API: ein Kopf hat vier Wörter</translation>
    </message>
    <message>
        <source>Admin API: a reply of over {0} bytes</source>
        <translation>Admin API: eine Antwort von über {0} Byte</translation>
    </message>
    <message>
        <source>Admin API: an escape that there is not</source>
        <translation>Admin API: eine Umschreibung, die es nicht gibt</translation>
    </message>
    <message>
        <source>Admin API: an event of over {0} bytes</source>
        <translation>Admin API: ein Ereignis von über {0} Byte</translation>
    </message>
    <message>
        <source>Admin API: an event that is not UTF-8</source>
        <translation>Admin API: ein Ereignis, das kein UTF-8 ist</translation>
    </message>
    <message>
        <source>Admin API: an exception that is cut off</source>
        <translation>Admin API: eine abgeschnittene Fehlermeldung</translation>
    </message>
    <message>
        <source>Admin API: an exception without a name</source>
        <translation>Admin API: eine Fehlermeldung ohne Namen</translation>
    </message>
    <message>
        <source>Admin API: cannot be part of a call: {0}</source>
        <translation>Admin API: kann nicht Teil eines Aufrufs sein: {0}</translation>
    </message>
    <message>
        <source>Admin API: not a call: {0}</source>
        <translation>Admin API: kein Aufruf: {0}</translation>
    </message>
    <message>
        <source>Admin API: not a property: {0}</source>
        <translation>Admin API: keine Eigenschaft: {0}</translation>
    </message>
    <message>
        <source>Admin API: not a reply</source>
        <translation>Admin API: keine Antwort</translation>
    </message>
    <message>
        <source>Admin API: not an event</source>
        <translation>Admin API: kein Ereignis</translation>
    </message>
    <message>
        <source>Admin API: not an event: {0}</source>
        <translation>Admin API: kein Ereignis: {0}</translation>
    </message>
    <message>
        <source>Admin API: not events</source>
        <translation>Admin API: keine Ereignisse</translation>
    </message>
    <message>
        <source>a call of over {0} bytes</source>
        <translation>ein Aufruf von über {0} Byte</translation>
    </message>
    <message>
        <source>a firewall.xml has no DOCTYPE; take it out</source>
        <translation>eine firewall.xml hat keinen DOCTYPE; bitte entfernen</translation>
    </message>
    <message>
        <source>a firewall.xml has no namespaces; take them out</source>
        <translation>eine firewall.xml hat keine Namensräume; bitte entfernen</translation>
    </message>
    <message>
        <source>a forward does not take it; {0}</source>
        <translation>eine Weiterleitung nimmt es nicht; {0}</translation>
    </message>
    <message>
        <source>a forward takes tcp or udp, or neither for both</source>
        <translation>eine Weiterleitung nimmt tcp oder udp, oder keines für beide</translation>
    </message>
    <message>
        <source>a header of over {0} bytes</source>
        <translation>ein Kopf von über {0} Byte</translation>
    </message>
    <message>
        <source>a symbolic link</source>
        <translation>eine symbolische Verknüpfung</translation>
    </message>
    <message>
        <source>a tag and text of over {0} bytes; shorten it</source>
        <translation>eine Marke mit Text von über {0} Byte; bitte kürzen</translation>
    </message>
    <message>
        <source>admin.vm.List without dom0</source>
        <translation>admin.vm.List ohne dom0</translation>
    </message>
    <message>
        <source>always</source>
        <translation>immer</translation>
    </message>
    <message>
        <source>an outbound rule accepts or drops</source>
        <translation>eine ausgehende Regel erlaubt oder verbietet</translation>
    </message>
    <message>
        <source>another qubes-forwardd has these rules; end that one first</source>
        <translation>ein anderer qubes-forwardd hat diese Regeln; zuerst jenen beenden</translation>
    </message>
    <message>
        <source>at most {0} characters fit</source>
        <translation>höchstens {0} Zeichen passen</translation>
    </message>
    <message>
        <source>by {0}</source>
        <translation>durch {0}</translation>
    </message>
    <message>
        <source>cannot reach {0} at {1}: {2}</source>
        <translation>{0} ist unter {1} nicht erreichbar: {2}</translation>
    </message>
    <message>
        <source>cannot store the rules: {0}</source>
        <translation>die Regeln lassen sich nicht speichern: {0}</translation>
    </message>
    <message>
        <source>copied from another qube</source>
        <translation>Kopie eines anderen Qubes</translation>
    </message>
    <message>
        <source>dom0 has no network, and no firewall; name a qube</source>
        <translation>dom0 hat kein Netz und keine Firewall; bitte einen Qube nennen</translation>
    </message>
    <message>
        <source>event connection closed</source>
        <translation>die Verbindung für Ereignisse wurde geschlossen</translation>
    </message>
    <message>
        <source>events ended: {0}</source>
        <translation>Ereignisse sind zu Ende: {0}</translation>
    </message>
    <message>
        <source>expire was {0}</source>
        <translation>das Ende war {0}</translation>
    </message>
    <message>
        <source>give a length of time, as in 2h or 1d12h</source>
        <translation>eine Dauer angeben, etwa 2h oder 1d12h</translation>
    </message>
    <message>
        <source>give a port or FIRST-LAST</source>
        <translation>einen Port angeben, oder ERSTER-LETZTER</translation>
    </message>
    <message>
        <source>give a service, a port or a range</source>
        <translation>einen Dienst, einen Port oder einen Bereich angeben</translation>
    </message>
    <message>
        <source>give a service, a port, or FIRST-LAST</source>
        <translation>einen Dienst, einen Port oder ERSTER-LETZTER angeben</translation>
    </message>
    <message>
        <source>give a time, as in 18:30 or 2026-12-24 18:30{0}</source>
        <translation>eine Zeit angeben, etwa 18:30 oder 2026-12-24 18:30{0}</translation>
    </message>
    <message>
        <source>give a time, as in 2h, 18:30 or 2026-12-24</source>
        <translation>eine Zeit angeben, etwa 2h, 18:30 oder 2026-12-24</translation>
    </message>
    <message>
        <source>give an IPv4 or IPv6 address</source>
        <translation>eine IPv4- oder IPv6-Adresse angeben</translation>
    </message>
    <message>
        <source>give an IPv4 or IPv6 address or CIDR</source>
        <translation>eine IPv4- oder IPv6-Adresse oder ein Netz (CIDR) angeben</translation>
    </message>
    <message>
        <source>give an address, a CIDR, or a name in lower case</source>
        <translation>eine Adresse, ein Netz (CIDR) oder einen Namen in Kleinbuchstaben angeben</translation>
    </message>
    <message>
        <source>give at most {0} ports within {1}</source>
        <translation>höchstens {0} Ports innerhalb von {1} angeben</translation>
    </message>
    <message>
        <source>give elements as NAME=VALUE, comment last</source>
        <translation>Angaben als NAME=WERT, den Kommentar zuletzt</translation>
    </message>
    <message>
        <source>give one of {0}</source>
        <translation>eines angeben von {0}</translation>
    </message>
    <message>
        <source>give the port that the outside dials</source>
        <translation>den Port angeben, mit dem sich andere verbinden</translation>
    </message>
    <message>
        <source>given twice; give it once</source>
        <translation>zweimal angegeben; bitte einmal</translation>
    </message>
    <message>
        <source>holds more than {0}</source>
        <translation>enthält mehr als {0}</translation>
    </message>
    <message>
        <source>imported</source>
        <translation>importiert</translation>
    </message>
    <message>
        <source>imported; waits for confirmation</source>
        <translation>importiert; wartet auf Bestätigung</translation>
    </message>
    <message>
        <source>inner port</source>
        <translation>innerer Port</translation>
    </message>
    <message>
        <source>inner port {0}: {1}</source>
        <translation>innerer Port {0}: {1}</translation>
    </message>
    <message>
        <source>is over already</source>
        <translation>ist schon vorbei</translation>
    </message>
    <message>
        <source>is still to come</source>
        <translation>kommt erst noch</translation>
    </message>
    <message>
        <source>it had no end</source>
        <translation>es hatte kein Ende</translation>
    </message>
    <message>
        <source>it has left</source>
        <translation>es ist gegangen</translation>
    </message>
    <message>
        <source>it is no, or is left out</source>
        <translation>es ist no oder fehlt</translation>
    </message>
    <message>
        <source>it leads through {0} now</source>
        <translation>es führt jetzt über {0}</translation>
    </message>
    <message>
        <source>it leads to the qube itself; srchost says who may connect</source>
        <translation>es führt zum Qube selbst; srchost sagt, wer sich verbinden darf</translation>
    </message>
    <message>
        <source>it takes ports</source>
        <translation>es nimmt Ports</translation>
    </message>
    <message>
        <source>it takes tcp or udp</source>
        <translation>es nimmt tcp oder udp</translation>
    </message>
    <message>
        <source>it was closed while qubes-forwardd did not run</source>
        <translation>es wurde geschlossen, während qubes-forwardd nicht lief</translation>
    </message>
    <message>
        <source>its QubesDB does not answer</source>
        <translation>seine QubesDB antwortet nicht</translation>
    </message>
    <message>
        <source>its addresses changed, or a hop had lost it</source>
        <translation>seine Adressen haben sich geändert, oder eine Station hatte es verloren</translation>
    </message>
    <message>
        <source>its agent has not answered yet</source>
        <translation>sein Agent hat noch nicht geantwortet</translation>
    </message>
    <message>
        <source>its comment</source>
        <translation>sein Kommentar</translation>
    </message>
    <message>
        <source>its time is over</source>
        <translation>seine Zeit ist vorbei</translation>
    </message>
    <message>
        <source>line {0}: not XML</source>
        <translation>Zeile {0}: kein XML</translation>
    </message>
    <message>
        <source>line {0}: {1}</source>
        <translation>Zeile {0}: {1}</translation>
    </message>
    <message>
        <source>missing; give one of {0}</source>
        <translation>fehlt; eines angeben von {0}</translation>
    </message>
    <message>
        <source>more than 10 years away; leave it out for no end</source>
        <translation>mehr als 10 Jahre entfernt; für kein Ende leer lassen</translation>
    </message>
    <message>
        <source>more than 10 years; leave it out for no end</source>
        <translation>mehr als 10 Jahre; für kein Ende leer lassen</translation>
    </message>
    <message>
        <source>more than {0} rules; a firewall.xml has fewer</source>
        <translation>mehr als {0} Regeln; eine firewall.xml hat weniger</translation>
    </message>
    <message>
        <source>more than {0} tags or attributes; a firewall.xml has fewer</source>
        <translation>mehr als {0} Marken oder Attribute; eine firewall.xml hat weniger</translation>
    </message>
    <message>
        <source>needs nftables</source>
        <translation>braucht nftables</translation>
    </message>
    <message>
        <source>needs proto=icmp</source>
        <translation>braucht proto=icmp</translation>
    </message>
    <message>
        <source>needs proto=tcp or proto=udp</source>
        <translation>braucht proto=tcp oder proto=udp</translation>
    </message>
    <message>
        <source>never</source>
        <translation>nie</translation>
    </message>
    <message>
        <source>no iptables for IPv{0} here</source>
        <translation>hier gibt es kein iptables für IPv{0}</translation>
    </message>
    <message>
        <source>no permission to talk to {0} at {1}: run this as a user of the group qubes, or as root</source>
        <translation>keine Erlaubnis, mit {0} unter {1} zu sprechen: bitte als Benutzer der Gruppe qubes oder als root ausführen</translation>
    </message>
    <message>
        <source>no rule given; send one rule a line</source>
        <translation>keine Regel angegeben; eine Regel je Zeile senden</translation>
    </message>
    <message>
        <source>no rules there: {0}</source>
        <translation>dort sind keine Regeln: {0}</translation>
    </message>
    <message>
        <source>no such call: {0}+{1}</source>
        <translation>es gibt keinen solchen Aufruf: {0}+{1}</translation>
    </message>
    <message>
        <source>no such qube: {0}</source>
        <translation>es gibt keinen solchen Qube: {0}</translation>
    </message>
    <message>
        <source>no time at all</source>
        <translation>gar keine Zeit</translation>
    </message>
    <message>
        <source>no {0} chain in table {1}</source>
        <translation>in der Tabelle {1} fehlt die Kette {0}</translation>
    </message>
    <message>
        <source>not a firewall.xml: there is no &lt;firewall&gt; with &lt;rules&gt;</source>
        <translation>keine firewall.xml: es gibt kein &lt;firewall&gt; mit &lt;rules&gt;</translation>
    </message>
    <message>
        <source>not a regular file</source>
        <translation>keine gewöhnliche Datei</translation>
    </message>
    <message>
        <source>not a rule of version 1</source>
        <translation>keine Regel der Version 1</translation>
    </message>
    <message>
        <source>not a rule: its tag is not rule</source>
        <translation>keine Regel: die Marke ist nicht rule</translation>
    </message>
    <message>
        <source>not an attribute of a version 1 rule</source>
        <translation>kein Attribut einer Regel der Version 1</translation>
    </message>
    <message>
        <source>not an element of a rule</source>
        <translation>keine Angabe einer Regel</translation>
    </message>
    <message>
        <source>not one of {0}</source>
        <translation>keines von {0}</translation>
    </message>
    <message>
        <source>not published yet</source>
        <translation>noch nicht mitgeteilt</translation>
    </message>
    <message>
        <source>nothing here enforces outbound rules of qubes</source>
        <translation>hier setzt niemand ausgehende Regeln von Qubes durch</translation>
    </message>
    <message>
        <source>of what? Give a unit, as in {0}m or {1}h</source>
        <translation>wovon? Eine Einheit angeben, etwa {0}m oder {1}h</translation>
    </message>
    <message>
        <source>once</source>
        <translation>einmal</translation>
    </message>
    <message>
        <source>only a forward can end with the boot</source>
        <translation>nur eine Weiterleitung kann mit dem Neustart enden</translation>
    </message>
    <message>
        <source>only a forward has them</source>
        <translation>die hat nur eine Weiterleitung</translation>
    </message>
    <message>
        <source>only a forward takes it (action=forward)</source>
        <translation>das nimmt nur eine Weiterleitung (action=forward)</translation>
    </message>
    <message>
        <source>only versions 1 and 2 can be read</source>
        <translation>nur die Versionen 1 und 2 sind lesbar</translation>
    </message>
    <message>
        <source>only yes can be given; leave {0} out for no</source>
        <translation>nur yes ist möglich; für nein {0} weglassen</translation>
    </message>
    <message>
        <source>outbound rules are kept by qubesd, which answers this at {0}; qubes-forwardd has {1}+forward</source>
        <translation>ausgehende Regeln hat qubesd, das unter {0} antwortet; qubes-forwardd hat {1}+forward</translation>
    </message>
    <message>
        <source>outer port</source>
        <translation>äußerer Port</translation>
    </message>
    <message>
        <source>outer port {0}: {1}</source>
        <translation>äußerer Port {0}: {1}</translation>
    </message>
    <message>
        <source>port {0}/{1}: {2}</source>
        <translation>Port {0}/{1}: {2}</translation>
    </message>
    <message>
        <source>ports are 1-{0}</source>
        <translation>Ports sind 1-{0}</translation>
    </message>
    <message>
        <source>ports need TCP or UDP</source>
        <translation>Ports brauchen TCP oder UDP</translation>
    </message>
    <message>
        <source>prefix lengths are 0-{0}</source>
        <translation>Präfixlängen sind 0-{0}</translation>
    </message>
    <message>
        <source>qubesd does not say whether there is a qube {0}: see `systemctl status qubesd` in dom0</source>
        <translation>qubesd sagt nicht, ob es einen Qube {0} gibt: siehe `systemctl status qubesd` in dom0</translation>
    </message>
    <message>
        <source>qubesd has not told the qubes yet; is it running?</source>
        <translation>qubesd hat die Qubes noch nicht genannt; läuft es?</translation>
    </message>
    <message>
        <source>reboot</source>
        <translation>bis zum Neustart</translation>
    </message>
    <message>
        <source>removed</source>
        <translation>entfernt</translation>
    </message>
    <message>
        <source>rule of {0} characters; at most {1} fit</source>
        <translation>Regel von {0} Zeichen; höchstens {1} passen</translation>
    </message>
    <message>
        <source>rule {0}: {1}</source>
        <translation>Regel {0}: {1}</translation>
    </message>
    <message>
        <source>rules are ASCII text</source>
        <translation>Regeln sind ASCII-Text</translation>
    </message>
    <message>
        <source>rules of {0} characters; at most {1} fit</source>
        <translation>Regeln von {0} Zeichen; höchstens {1} passen</translation>
    </message>
    <message>
        <source>takes a name, and text between its tags</source>
        <translation>nimmt einen Namen, und Text zwischen seinen Marken</translation>
    </message>
    <message>
        <source>takes no attributes</source>
        <translation>nimmt keine Attribute</translation>
    </message>
    <message>
        <source>takes no payload</source>
        <translation>nimmt keinen Inhalt</translation>
    </message>
    <message>
        <source>takes no text outside of {0}</source>
        <translation>nimmt keinen Text außerhalb von {0}</translation>
    </message>
    <message>
        <source>that is IPv{0}; write src{1}={2}</source>
        <translation>das ist IPv{0}; src{1}={2} schreiben</translation>
    </message>
    <message>
        <source>the address has bits below its mask; did you mean {0}?</source>
        <translation>die Adresse hat Bits unterhalb ihrer Maske; war {0} gemeint?</translation>
    </message>
    <message>
        <source>the answer is none</source>
        <translation>die Antwort ist keine</translation>
    </message>
    <message>
        <source>the answer is not JSON</source>
        <translation>die Antwort ist kein JSON</translation>
    </message>
    <message>
        <source>the audit log cannot be read: {0}</source>
        <translation>das Protokoll ist nicht lesbar: {0}</translation>
    </message>
    <message>
        <source>the audit log cannot be written, so nothing is opened: {0}; closing still works</source>
        <translation>das Protokoll lässt sich nicht schreiben, darum wird nichts geöffnet: {0}; Schließen geht weiterhin</translation>
    </message>
    <message>
        <source>the first port is above the last</source>
        <translation>der erste Port liegt über dem letzten</translation>
    </message>
    <message>
        <source>the forwards of {0} came with a copy of another qube; activate them with 'qvm-firewall {1} confirm' or remove them with 'qvm-forward {2} --close-all' first</source>
        <translation>die Weiterleitungen von {0} kamen mit der Kopie eines anderen Qubes; zuerst mit 'qvm-firewall {1} confirm' bestätigen oder mit 'qvm-forward {2} --close-all' entfernen</translation>
    </message>
    <message>
        <source>the netvm of {0} is {1}, which does not exist</source>
        <translation>der Netz-Qube von {0} ist {1}, den es nicht gibt</translation>
    </message>
    <message>
        <source>the netvm of {0} is {1}: a loop</source>
        <translation>der Netz-Qube von {0} ist {1}: eine Schleife</translation>
    </message>
    <message>
        <source>the outbound rules hold forwards</source>
        <translation>unter den ausgehenden Regeln sind Weiterleitungen</translation>
    </message>
    <message>
        <source>the protocol is tcp, udp or both</source>
        <translation>das Protokoll ist tcp, udp oder beide</translation>
    </message>
    <message>
        <source>the rules are stored, but the hops could not be told yet; see `journalctl -u qubes-forwardd` in dom0</source>
        <translation>die Regeln sind gespeichert, aber den Stationen noch nicht mitgeteilt; siehe `journalctl -u qubes-forwardd` in dom0</translation>
    </message>
    <message>
        <source>there is no open request {0}: it was answered, its time is over, or the program gave up; see qvm-forward --requests</source>
        <translation>es gibt keine offene Frage {0}: sie ist beantwortet, ihre Zeit ist vorbei, oder das Programm hat aufgegeben; siehe qvm-forward --requests</translation>
    </message>
    <message>
        <source>there is no qube {0}</source>
        <translation>es gibt keinen Qube {0}</translation>
    </message>
    <message>
        <source>this call sets outbound rules; forwards are set with admin.vm.firewall.Set+forward</source>
        <translation>dieser Aufruf setzt ausgehende Regeln; Weiterleitungen setzt admin.vm.firewall.Set+forward</translation>
    </message>
    <message>
        <source>this call takes forwards only; outbound rules are set with admin.vm.firewall.Set</source>
        <translation>dieser Aufruf nimmt nur Weiterleitungen; ausgehende Regeln setzt admin.vm.firewall.Set</translation>
    </message>
    <message>
        <source>this qube has an uplink, so it is not the outermost</source>
        <translation>dieser Qube hat einen Netz-Qube über sich, ist also nicht der äußerste</translation>
    </message>
    <message>
        <source>this qube has no uplink</source>
        <translation>dieser Qube hat keinen Netz-Qube über sich</translation>
    </message>
    <message>
        <source>would bypass tunnel {0}</source>
        <translation>es ginge am Tunnel {0} vorbei</translation>
    </message>
    <message>
        <source>{0} are halted</source>
        <translation>{0} sind angehalten</translation>
    </message>
    <message>
        <source>{0} bytes; a firewall.xml has at most {1}</source>
        <translation>{0} Byte; eine firewall.xml hat höchstens {1}</translation>
    </message>
    <message>
        <source>{0} cannot be used; use letters, digits, spaces and :;,./-_[]</source>
        <translation>{0} ist nicht möglich; erlaubt sind Buchstaben, Ziffern, Leerzeichen und :;,./-_[]</translation>
    </message>
    <message>
        <source>{0} changes what it says too often; not all of it is here</source>
        <translation>{0} ändert zu oft, was er sagt; nicht alles davon steht hier</translation>
    </message>
    <message>
        <source>{0} characters; at most {1} fit</source>
        <translation>{0} Zeichen; höchstens {1} passen</translation>
    </message>
    <message>
        <source>{0} did not answer at {1} within {2} s: see `systemctl status {3}` in dom0; what was asked for may still happen</source>
        <translation>{0} hat unter {1} nicht innerhalb von {2} s geantwortet: siehe `systemctl status {3}` in dom0; das Gewünschte kann noch geschehen</translation>
    </message>
    <message>
        <source>{0} ended the connection</source>
        <translation>{0} hat die Verbindung beendet</translation>
    </message>
    <message>
        <source>{0} events before this could not be written</source>
        <translation>{0} Ereignisse davor ließen sich nicht schreiben</translation>
    </message>
    <message>
        <source>{0} has no IPv{1} address</source>
        <translation>{0} hat keine IPv{1}-Adresse</translation>
    </message>
    <message>
        <source>{0} has no forwarding agent</source>
        <translation>{0} hat keinen Agenten, der weiterleitet</translation>
    </message>
    <message>
        <source>{0} has no netvm</source>
        <translation>{0} hat keinen Netz-Qube</translation>
    </message>
    <message>
        <source>{0} has no such rule: {1}</source>
        <translation>{0} hat keine solche Regel: {1}</translation>
    </message>
    <message>
        <source>{0} has not answered</source>
        <translation>{0} hat nicht geantwortet</translation>
    </message>
    <message>
        <source>{0} has not said that it closed it</source>
        <translation>{0} hat nicht gesagt, dass es geschlossen ist</translation>
    </message>
    <message>
        <source>{0} has port {1} of {2} already</source>
        <translation>{0} hat Port {1} von {2} schon</translation>
    </message>
    <message>
        <source>{0} inner ports do not fit {1} outer ports; give as many, or one</source>
        <translation>{0} innere Ports passen nicht zu {1} äußeren; gleich viele angeben, oder einen</translation>
    </message>
    <message>
        <source>{0} is gone</source>
        <translation>{0} gibt es nicht mehr</translation>
    </message>
    <message>
        <source>{0} is halted</source>
        <translation>{0} ist angehalten</translation>
    </message>
    <message>
        <source>{0} is no forward</source>
        <translation>{0} ist keine Weiterleitung</translation>
    </message>
    <message>
        <source>{0} is not an object</source>
        <translation>{0} ist kein Objekt</translation>
    </message>
    <message>
        <source>{0} is not running (nobody serves {1}): start it in dom0 with `systemctl start {2}`</source>
        <translation>{0} läuft nicht (unter {1} antwortet niemand): in dom0 mit `systemctl start {2}` starten</translation>
    </message>
    <message>
        <source>{0} is unknown</source>
        <translation>{0} ist unbekannt</translation>
    </message>
    <message>
        <source>{0} refused the call, or failed at it: `journalctl -u {1}` in dom0 says why</source>
        <translation>{0} hat den Aufruf abgelehnt oder ist daran gescheitert: `journalctl -u {1}` in dom0 sagt, warum</translation>
    </message>
    <message>
        <source>{0} rules; at most {1} fit</source>
        <translation>{0} Regeln; höchstens {1} passen</translation>
    </message>
    <message>
        <source>{0} was changed or removed meanwhile; to go on from what is there now, run: qvm-firewall --reload {1}</source>
        <translation>{0} wurde inzwischen geändert oder entfernt; um mit dem Jetzigen fortzufahren: qvm-firewall --reload {1}</translation>
    </message>
    <message>
        <source>{0} {1}: no such port or service</source>
        <translation>{0} {1}: kein solcher Port oder Dienst</translation>
    </message>
    <message>
        <source>{0}+{1} failed</source>
        <translation>{0}+{1} ist fehlgeschlagen</translation>
    </message>
    <message>
        <source>{0}.{1} has a wrong type</source>
        <translation>{0}.{1} hat eine falsche Art</translation>
    </message>
    <message>
        <source>{0}; activate with: qvm-firewall {1} confirm</source>
        <translation>{0}; freigeben mit: qvm-firewall {1} confirm</translation>
    </message>
    <message>
        <source>{0}; choose another outer port, or add it with --force to have it wait for the port</source>
        <translation>{0}; einen anderen äußeren Port wählen, oder mit --force hinzufügen, damit es auf den Port wartet</translation>
    </message>
    <message>
        <source>{0}; mend or move that file away, then run: qvm-firewall --reload {1}</source>
        <translation>{0}; diese Datei in Ordnung bringen oder wegräumen, dann: qvm-firewall --reload {1}</translation>
    </message>
</context>
<context>
    <name>Tray</name>
    <message>
        <source>Close everything…</source>
        <translation>Alles schließen …</translation>
    </message>
    <message>
        <source>Close its ports</source>
        <translation>Seine Ports schließen</translation>
    </message>
    <message>
        <source>Firewall of this qube…</source>
        <translation>Firewall dieses Qubes …</translation>
    </message>
    <message>
        <source>It is not known what is open: the service does not answer.</source>
        <translation>Es ist nicht bekannt, was offen ist: der Dienst antwortet nicht.</translation>
    </message>
    <message>
        <source>Open ports…</source>
        <translation>Offene Ports …</translation>
    </message>
    <message>
        <source>{0} (not open)</source>
        <translation>{0} (nicht offen)</translation>
    </message>
    <message>
        <source>{0} more…</source>
        <translation>{0} weitere …</translation>
    </message>
</context>
<context>
    <name>Troubles</name>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>What is shown may be out of date, and nothing can be changed now: {0}. It is looked for all the time.</source>
        <translation>Das Gezeigte ist vielleicht veraltet, und zurzeit lässt sich nichts ändern: {0}. Die Verbindung wird laufend neu versucht.</translation>
    </message>
</context>
<context>
    <name>Windows</name>
    <message>
        <source>Qubes' own Settings window cannot be added to: {0}</source>
        <translation>Zum Einstellungsfenster von Qubes lässt sich nichts hinzufügen: {0}</translation>
    </message>
</context>
<context>
    <name>Words</name>
    <message>
        <source> (all of them lead to {0})</source>
        <translation> (alle führen zu {0})</translation>
    </message>
    <message>
        <source> ({0} leads to {1}, {2} to {3})</source>
        <translation> ({0} führt zu {1}, {2} zu {3})</translation>
    </message>
    <message>
        <source> by {0}</source>
        <translation> über {0}</translation>
    </message>
    <message>
        <source>, and calls it {0} (its own words)</source>
        <translation> und nennt es {0} (seine eigenen Worte)</translation>
    </message>
    <message>
        <source>, and on the internet if its router agrees,</source>
        <translation> und im Internet, wenn der Router zustimmt</translation>
    </message>
    <message>
        <source>, and on the internet,</source>
        <translation> und im Internet</translation>
    </message>
    <message>
        <source>1 packet ({0})</source>
        <translation>1 Paket ({0})</translation>
    </message>
    <message>
        <source>A program of {0} asked for it{1}{2}; it ends then unless that program renews it.</source>
        <translation>Ein Programm von {0} hat darum gebeten{1}{2}; dann endet es, wenn das Programm es nicht erneuert.</translation>
    </message>
    <message>
        <source>Fri</source>
        <translation>Fr</translation>
    </message>
    <message>
        <source>Internet</source>
        <translation>Internet</translation>
    </message>
    <message>
        <source>It reaches the internet, as {0}.</source>
        <translation>Aus dem Internet erreichbar, als {0}.</translation>
    </message>
    <message>
        <source>Local network</source>
        <translation>Lokales Netz</translation>
    </message>
    <message>
        <source>Mon</source>
        <translation>Mo</translation>
    </message>
    <message>
        <source>Other qubes</source>
        <translation>Andere Qubes</translation>
    </message>
    <message>
        <source>Router</source>
        <translation>Router</translation>
    </message>
    <message>
        <source>Sat</source>
        <translation>Sa</translation>
    </message>
    <message>
        <source>Sun</source>
        <translation>So</translation>
    </message>
    <message>
        <source>The internet does not reach it: {0}, as {1}.</source>
        <translation>Aus dem Internet nicht erreichbar: {0}, als {1}.</translation>
    </message>
    <message>
        <source>The internet does not reach it: {0}.</source>
        <translation>Aus dem Internet nicht erreichbar: {0}.</translation>
    </message>
    <message>
        <source>The router has not answered yet.</source>
        <translation>Der Router hat noch nicht geantwortet.</translation>
    </message>
    <message>
        <source>Thu</source>
        <translation>Do</translation>
    </message>
    <message>
        <source>Tue</source>
        <translation>Di</translation>
    </message>
    <message>
        <source>Wed</source>
        <translation>Mi</translation>
    </message>
    <message>
        <source>a program asked {0}</source>
        <translation>ein Programm bat {0}</translation>
    </message>
    <message>
        <source>a program asks</source>
        <translation>ein Programm fragt</translation>
    </message>
    <message>
        <source>a rule of {0}</source>
        <translation>eine Regel von {0}</translation>
    </message>
    <message>
        <source>any IPv{0} host {1}</source>
        <translation>jeden IPv{0}-Rechner {1}</translation>
    </message>
    <message>
        <source>any IPv{0} qube {1}</source>
        <translation>jeden IPv{0}-Qube {1}</translation>
    </message>
    <message>
        <source>any host {0}</source>
        <translation>jeden Rechner {0}</translation>
    </message>
    <message>
        <source>any qube</source>
        <translation>alle Qubes</translation>
    </message>
    <message>
        <source>any qube (IPv4)</source>
        <translation>alle Qubes (IPv4)</translation>
    </message>
    <message>
        <source>any qube (IPv6)</source>
        <translation>alle Qubes (IPv6)</translation>
    </message>
    <message>
        <source>any qube {0}</source>
        <translation>jeden Qube {0}</translation>
    </message>
    <message>
        <source>anyone</source>
        <translation>alle</translation>
    </message>
    <message>
        <source>anyone (IPv4)</source>
        <translation>alle (IPv4)</translation>
    </message>
    <message>
        <source>anyone (IPv6)</source>
        <translation>alle (IPv6)</translation>
    </message>
    <message>
        <source>as its policy allows</source>
        <translation>wie seine Richtlinie es erlaubt</translation>
    </message>
    <message>
        <source>as the user agreed</source>
        <translation>mit Zustimmung des Benutzers</translation>
    </message>
    <message>
        <source>asked as soon as the hops have it</source>
        <translation>wird gefragt, sobald die Stationen es haben</translation>
    </message>
    <message>
        <source>asked: {0}</source>
        <translation>gewünscht: {0}</translation>
    </message>
    <message>
        <source>behind {0}</source>
        <translation>hinter {0}</translation>
    </message>
    <message>
        <source>behind {0}, and any host beyond its tunnel,</source>
        <translation>hinter {0} und jeden Rechner jenseits seines Tunnels</translation>
    </message>
    <message>
        <source>black</source>
        <translation>schwarz</translation>
    </message>
    <message>
        <source>blue</source>
        <translation>blau</translation>
    </message>
    <message>
        <source>by {0}</source>
        <translation>durch {0}</translation>
    </message>
    <message>
        <source>expired</source>
        <translation>abgelaufen</translation>
    </message>
    <message>
        <source>external</source>
        <translation>von außen</translation>
    </message>
    <message>
        <source>for a program</source>
        <translation>für ein Programm</translation>
    </message>
    <message>
        <source>from {0}</source>
        <translation>von {0}</translation>
    </message>
    <message>
        <source>gray</source>
        <translation>grau</translation>
    </message>
    <message>
        <source>green</source>
        <translation>grün</translation>
    </message>
    <message>
        <source>hosts in {0}</source>
        <translation>Rechner in {0}</translation>
    </message>
    <message>
        <source>icmp type {0}</source>
        <translation>ICMP-Typ {0}</translation>
    </message>
    <message>
        <source>internal</source>
        <translation>von Qubes</translation>
    </message>
    <message>
        <source>it is active</source>
        <translation>es ist offen</translation>
    </message>
    <message>
        <source>it is expired</source>
        <translation>es ist abgelaufen</translation>
    </message>
    <message>
        <source>it is in conflict</source>
        <translation>der Port ist vergeben</translation>
    </message>
    <message>
        <source>it is pending</source>
        <translation>es wartet</translation>
    </message>
    <message>
        <source>it is refused</source>
        <translation>es ist verweigert</translation>
    </message>
    <message>
        <source>it is unconfirmed</source>
        <translation>es ist nicht bestätigt</translation>
    </message>
    <message>
        <source>it is unreachable</source>
        <translation>es gibt keinen Weg</translation>
    </message>
    <message>
        <source>its own firewall</source>
        <translation>eigene Firewall</translation>
    </message>
    <message>
        <source>name a host, a network or a protocol</source>
        <translation>einen Rechner, ein Netz oder ein Protokoll angeben</translation>
    </message>
    <message>
        <source>no router answers</source>
        <translation>kein Router antwortet</translation>
    </message>
    <message>
        <source>no router there answers such requests</source>
        <translation>dort antwortet kein Router auf solche Anfragen</translation>
    </message>
    <message>
        <source>no way</source>
        <translation>kein Weg</translation>
    </message>
    <message>
        <source>not confirmed</source>
        <translation>nicht bestätigt</translation>
    </message>
    <message>
        <source>nothing listens on {0} yet</source>
        <translation>auf {0} lauscht noch kein Programm</translation>
    </message>
    <message>
        <source>on the networks of {0}{1}</source>
        <translation>in den Netzen von {0}{1}</translation>
    </message>
    <message>
        <source>open</source>
        <translation>offen</translation>
    </message>
    <message>
        <source>orange</source>
        <translation>orange</translation>
    </message>
    <message>
        <source>port</source>
        <translation>Port</translation>
    </message>
    <message>
        <source>port is taken</source>
        <translation>Port belegt</translation>
    </message>
    <message>
        <source>port {0}</source>
        <translation>Port {0}</translation>
    </message>
    <message>
        <source>ports {0}</source>
        <translation>Ports {0}</translation>
    </message>
    <message>
        <source>purple</source>
        <translation>violett</translation>
    </message>
    <message>
        <source>qubes in {0}</source>
        <translation>Qubes in {0}</translation>
    </message>
    <message>
        <source>red</source>
        <translation>rot</translation>
    </message>
    <message>
        <source>refused</source>
        <translation>verweigert</translation>
    </message>
    <message>
        <source>the firewall of {0} itself is its own business: no agent opens it</source>
        <translation>die Firewall von {0} selbst ist dessen eigene Sache: kein Agent öffnet sie</translation>
    </message>
    <message>
        <source>the host {0}</source>
        <translation>den Rechner {0}</translation>
    </message>
    <message>
        <source>the hosts {0}</source>
        <translation>die Rechner {0}</translation>
    </message>
    <message>
        <source>the outermost qube</source>
        <translation>dem äußersten Qube</translation>
    </message>
    <message>
        <source>the qube {0}</source>
        <translation>den Qube {0}</translation>
    </message>
    <message>
        <source>the qubes {0}</source>
        <translation>die Qubes {0}</translation>
    </message>
    <message>
        <source>the router has not answered yet</source>
        <translation>der Router hat noch nicht geantwortet</translation>
    </message>
    <message>
        <source>the router is behind another NAT</source>
        <translation>der Router ist hinter einem weiteren NAT</translation>
    </message>
    <message>
        <source>the router is itself behind a carrier's NAT</source>
        <translation>der Router ist selbst hinter dem NAT eines Anbieters</translation>
    </message>
    <message>
        <source>the router says no</source>
        <translation>der Router lehnt ab</translation>
    </message>
    <message>
        <source>the same netvm</source>
        <translation>demselben Netz-Qube</translation>
    </message>
    <message>
        <source>through {0}</source>
        <translation>über {0}</translation>
    </message>
    <message>
        <source>tomorrow {0}</source>
        <translation>morgen {0}</translation>
    </message>
    <message>
        <source>until the computer is restarted</source>
        <translation>bis zum Neustart des Computers</translation>
    </message>
    <message>
        <source>until the computer restarts</source>
        <translation>bis zum Neustart des Computers</translation>
    </message>
    <message>
        <source>until you close it</source>
        <translation>bis Sie es beenden</translation>
    </message>
    <message>
        <source>until {0}</source>
        <translation>bis {0}</translation>
    </message>
    <message>
        <source>until {0} ({1} from now)</source>
        <translation>bis {0} (noch {1})</translation>
    </message>
    <message>
        <source>waiting</source>
        <translation>wartet</translation>
    </message>
    <message>
        <source>yellow</source>
        <translation>gelb</translation>
    </message>
    <message>
        <source>{0} As soon as that changes, {1}.</source>
        <translation>{0} Sobald sich das ändert, {1}.</translation>
    </message>
    <message>
        <source>{0} and {1}</source>
        <translation>{0} und {1}</translation>
    </message>
    <message>
        <source>{0} are not open for {1} ({2}).</source>
        <translation>{0} sind nicht offen für {1} ({2}).</translation>
    </message>
    <message>
        <source>{0} are not open yet ({1}).</source>
        <translation>{0} sind noch nicht offen ({1}).</translation>
    </message>
    <message>
        <source>{0} by {1}</source>
        <translation>{0} über {1}</translation>
    </message>
    <message>
        <source>{0} can now reach {1} at {2}{3}, {4}</source>
        <translation>für {0} jetzt erreichbar: {1} unter {2}{3}, {4}</translation>
    </message>
    <message>
        <source>{0} can reach {1} at {2}{3}, {4}</source>
        <translation>für {0} erreichbar: {1} unter {2}{3}, {4}</translation>
    </message>
    <message>
        <source>{0} is not open for {1} ({2}).</source>
        <translation>{0} ist nicht offen für {1} ({2}).</translation>
    </message>
    <message>
        <source>{0} is not open yet ({1}).</source>
        <translation>{0} ist noch nicht offen ({1}).</translation>
    </message>
    <message>
        <source>{0} more</source>
        <translation>{0} weitere</translation>
    </message>
    <message>
        <source>{0} of {1}</source>
        <translation>{0} von {1}</translation>
    </message>
    <message>
        <source>{0} or {1}</source>
        <translation>{0} oder {1}</translation>
    </message>
    <message>
        <source>{0} packets ({1})</source>
        <translation>{0} Pakete ({1})</translation>
    </message>
    <message>
        <source>{0} will be able to reach {1} at {2}{3}, {4}</source>
        <translation>für {0} wird erreichbar: {1} unter {2}{3}, {4}</translation>
    </message>
    <message>
        <source>{0} {1} of {2}</source>
        <translation>{1} ({0}) von {2}</translation>
    </message>
</context>
</TS>
